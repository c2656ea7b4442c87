package spec_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

func TestAll_FillsInWhatIsLeftOpen(t *testing.T) {
	for strategy, want := range map[rollout.Strategy]string{
		rollout.Canary:    "probe [step] 5m0s, probe-2 [step] 5m0s, prometheus [step] 5m0s, webhook [beforePromotion] 5m0s, window [beforeStart] 0s",
		rollout.Rolling:   "probe [step] 5m0s, probe-2 [step] 5m0s, prometheus [step] 5m0s, webhook [beforePromotion] 5m0s, window [beforeStart] 0s",
		rollout.BlueGreen: "probe [beforePromotion afterPromotion] 5m0s, probe-2 [beforePromotion afterPromotion] 5m0s, prometheus [afterPromotion] 5m0s, webhook [beforePromotion] 5m0s, window [beforeStart] 0s",
		rollout.Recreate:  "probe [afterPromotion] 5m0s, probe-2 [afterPromotion] 5m0s, prometheus [afterPromotion] 5m0s, webhook [beforeStart] 5m0s, window [beforeStart] 0s",
	} {
		all := spec.All([]spec.Gate{
			{Probe: &spec.Probe{}},
			{Probe: &spec.Probe{Path: "/x"}},
			{Prometheus: &spec.Prometheus{URL: "http://p", Query: "up", Max: new(1.0)}},
			{Webhook: &spec.Webhook{URL: "http://w"}},
			{Window: &spec.Window{}},
		}, strategy)
		var words []string
		for _, g := range spec.Planned(all) {
			var at []string
			for _, m := range g.At {
				at = append(at, string(m))
			}
			words = append(words, g.Name+" ["+strings.Join(at, " ")+"] "+g.Deadline.String())
		}
		if diff := cmp.Diff(want, strings.Join(words, ", ")); diff != "" {
			t.Errorf("%s: %s", strategy, diff)
		}
		if err := spec.Validate(all); err != nil {
			t.Errorf("%s: %v", strategy, err)
		}
		plan := rollout.Plan{Strategy: strategy, Gates: spec.Planned(all), Steps: []rollout.Step{{Weight: 10}}, MaxSurge: 1}
		if err := plan.Validate(); err != nil {
			t.Errorf("%s: the engine does not take the defaults: %v", strategy, err)
		}
	}
}

func TestValidate_NamesFieldValueAndFix(t *testing.T) {
	url := "http://p:9090"
	for name, test := range map[string]struct {
		gate spec.Gate
		want string
	}{
		"none":          {spec.Gate{}, "gates[0].probe and its like: give exactly one of probe, prometheus, webhook, job and window, not 0"},
		"two":           {spec.Gate{Probe: &spec.Probe{}, Window: &spec.Window{}}, "gates[0].probe and its like: give exactly one of probe, prometheus, webhook, job and window, not 2"},
		"name":          {spec.Gate{Name: "Ü", Probe: &spec.Probe{}}, `gates[0].name "Ü": use a to z, 0 to 9 and -, at most 40, beginning and ending with a letter or digit`},
		"path":          {spec.Gate{Probe: &spec.Probe{Path: "x"}}, `gates[0].probe.path "x": begin it with /`},
		"rate":          {spec.Gate{Probe: &spec.Probe{Rate: 5000}}, "gates[0].probe.rate 5000: use 1 to 1000 requests a second"},
		"post":          {spec.Gate{Probe: &spec.Probe{Post: 2}}, "gates[0].probe.post 2: use a share from 0 to 1"},
		"header":        {spec.Gate{Probe: &spec.Probe{Header: map[string]string{"a b": "c"}}}, `gates[0].probe.header "a b": use a plain name and a value on one line`},
		"url":           {spec.Gate{Prometheus: &spec.Prometheus{URL: "p:9090", Query: "up", Max: new(1.0)}}, `gates[0].prometheus.url "p:9090": use http://HOST[:PORT]/PATH or https://...`},
		"password":      {spec.Gate{Webhook: &spec.Webhook{URL: "http://a:b@c"}}, "gates[0].webhook.url holds a password: name a file of whoever asks instead"},
		"bounds":        {spec.Gate{Prometheus: &spec.Prometheus{URL: url, Query: "up"}}, "gates[0].prometheus.max is missing: give max or min, or both"},
		"crossed":       {spec.Gate{Prometheus: &spec.Prometheus{URL: url, Query: "up", Min: new(2.0), Max: new(1.0)}}, "gates[0].prometheus.min 2 is above max 1: no value could pass"},
		"both":          {spec.Gate{Prometheus: &spec.Prometheus{URL: url, Query: "up", Max: new(1.0), Bad: "a", Total: "b"}}, "gates[0].prometheus.query stands beside bad and total: give the one or the other"},
		"half":          {spec.Gate{Prometheus: &spec.Prometheus{URL: url, Bad: "a"}}, "gates[0].prometheus.query is missing: give a query with max or min, or the counters bad and total"},
		"placeholder":   {spec.Gate{Prometheus: &spec.Prometheus{URL: url, Query: "up{{pod}}", Max: new(1.0)}}, "gates[0].prometheus.query names {{pod}}: there are {{app}}, {{namespace}}, {{version}}, {{hash}}, {{pods}}, {{weight}}, {{stable.version}}, {{stable.hash}}, {{stable.pods}}, {{candidate.version}}, {{candidate.hash}}, {{candidate.pods}}"},
		"not at a time": {spec.Gate{At: []rollout.Moment{rollout.AfterPromotion}, Prometheus: &spec.Prometheus{URL: url, Bad: "a", Total: "b"}}, "gates[0].prometheus.bad is compared with stable at the same time, and at afterPromotion only one of the two has requests: use query with max there"},
		"key":           {spec.Gate{Webhook: &spec.Webhook{URL: url, Key: "../../etc/passwd"}}, `gates[0].webhook.key "../../etc/passwd": name a file, without a path`},
		"job":           {spec.Gate{Job: &spec.Job{}}, "gates[0].job.from is to name a CronJob of the namespace; on one machine give command"},
		"hours":         {spec.Gate{Window: &spec.Window{Allow: []spec.Hours{{From: 60, To: 60}}}}, "gates[0].window.allow[0] from and to are the same: leave both out for the whole day"},
		"freeze":        {spec.Gate{Window: &spec.Window{Freeze: []spec.Freeze{{From: "2026-12-20", To: "2026-12-10"}}}}, `gates[0].window.freeze[0].to "2026-12-10" is not after from "2026-12-20"`},
		"timeout":       {spec.Gate{Webhook: &spec.Webhook{URL: url, Timeout: time.Hour}}, "gates[0].webhook.timeout 1h0m0s: use 100ms to 1m0s"},
	} {
		err := spec.Validate(spec.All([]spec.Gate{test.gate}, rollout.Canary))
		if !errors.Is(err, spec.ErrGate) || strings.TrimPrefix(err.Error(), "invalid gate: ") != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzFill_NeverLeavesAPlaceholderThatItKnows(f *testing.F) {
	f.Add(`up{pod=~"{{pods}}"} - {{ version }}`)
	f.Add("{{{{pods}}}}")
	f.Fuzz(func(t *testing.T, query string) {
		if spec.Placeholders(query) != nil {
			return
		}
		filled := spec.Fill(query, map[string]string{"pods": "P", "version": "V"})
		if strings.Contains(filled, "{{pods}}") && !strings.Contains(query, "{{{") {
			t.Errorf("%q became %q", query, filled)
		}
	})
}
