package metrics_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/internal/metrics"
	"gapless.dev/gapless/internal/rollout"
)

var update = flag.Bool("update", false, "write the page of the metrics anew")

const (
	page       = "../../docs/reference/metrics.md"
	monitoring = "../../install/monitoring"
)

func TestDecided_ShowsWhereARolloutStandsAndCountsWhatIsOver(t *testing.T) {
	r := prometheus.NewRegistry()
	s := metrics.New(r, "1.2.3")
	s.Leads(true)
	s.Drives(2)
	at := time.Unix(1_000_000, 0)
	plan := rollout.Plan{Strategy: rollout.Canary}
	q := &rollout.Question{Revision: 2, Moment: rollout.DuringStep}
	states := []rollout.State{
		{Phase: rollout.Idle, Revision: 1, Stable: "aaa"},
		{Phase: rollout.Preparing, Revision: 2, Stable: "aaa", Candidate: "bbb", PhaseAt: at},
		{
			Phase: rollout.Shifting, Revision: 2, Stable: "aaa", Candidate: "bbb", Asked: q, Route: rollout.Route{Weights: rollout.Weights{"aaa": 75, "bbb": 25}},
			Gates: map[string]rollout.Verdict{"errors": {Of: q.Key(), Outcome: rollout.Wait}},
		},
		{
			Phase: rollout.Shifting, Revision: 2, Stable: "aaa", Candidate: "bbb", Asked: q, Route: rollout.Route{Weights: rollout.Weights{"aaa": 75, "bbb": 25}},
			Gates: map[string]rollout.Verdict{"errors": {Of: q.Key(), Outcome: rollout.Pass}},
		},
		{Phase: rollout.Aborting, Revision: 2, Stable: "aaa", Candidate: "bbb", Aborted: &rollout.Setback{Version: "bbb", Reason: rollout.ReasonGateFailed}},
		{Phase: rollout.Idle, Revision: 2, Stable: "aaa", Aborted: &rollout.Setback{Version: "bbb", Reason: rollout.ReasonGateFailed}},
	}
	for i := 1; i < len(states); i++ {
		at = at.Add(10 * time.Second)
		s.Decided("shop", "demo", plan, states[i-1], rollout.Decision{State: states[i]}, at, map[string]string{"aaa": "1.0.0", "bbb": "2.0.0"})
	}
	for metric, want := range map[string]string{
		"gapless_leader":          "gapless_leader 1\n",
		"gapless_rollouts":        "gapless_rollouts 2\n",
		"gapless_rollout_info":    `gapless_rollout_info{candidate="",namespace="shop",rollout="demo",stable="1.0.0",strategy="canary"} 1` + "\n",
		"gapless_revisions_total": `gapless_revisions_total{namespace="shop",outcome="aborted",reason="GateFailed",rollout="demo",strategy="canary"} 1` + "\n",
		"gapless_gate_answers_total": `gapless_gate_answers_total{at="step",gate="errors",namespace="shop",outcome="pass",rollout="demo"} 1` + "\n" +
			`gapless_gate_answers_total{at="step",gate="errors",namespace="shop",outcome="wait",rollout="demo"} 1` + "\n",
	} {
		d := metrics.All[slices.IndexFunc(metrics.All, func(d metrics.Definition) bool { return d.Name == metric })]
		text := fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n%s", metric, d.Help, metric, d.Kind, want)
		if err := testutil.GatherAndCompare(r, strings.NewReader(text), metric); err != nil {
			t.Error(err)
		}
	}
	if n, err := testutil.GatherAndCount(r, "gapless_revision_duration_seconds"); err != nil || n != 1 {
		t.Errorf("%d durations, %v", n, err)
	}
	s.Forget("shop", "demo")
	if n, _ := testutil.GatherAndCount(r, "gapless_rollout_info", "gapless_rollout_phase"); n != 0 {
		t.Errorf("%d series are left of a Rollout that is gone", n)
	}
	if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestReference_ListsEveryMetric(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Metrics of the controller\n\n<!-- Written by make generate from internal/metrics. -->\n\n" +
		"`gapless controller --metrics :8080` shows them at `/metrics`; the installed controller does. Rules for alerts and a dashboard for Grafana:\n" +
		"[alerts.yaml](../../install/monitoring/alerts.yaml), [dashboard.json](../../install/monitoring/dashboard.json).\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n")
	for _, d := range metrics.All {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Kind, strings.Join(d.Labels, ", "), d.Help)
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != b.String() {
		t.Errorf("%s is not what the table says (%v): make generate writes it", page, err)
	}
}

var metric = regexp.MustCompile(`gapless_[a-z_]+`)

// expressions are all queries in a document, wherever they stand.
func expressions(v any) []string {
	var all []string
	switch v := v.(type) {
	case map[string]any:
		for name, one := range v {
			if text, is := one.(string); is && (name == "expr" || name == "query") {
				all = append(all, text)
			}
			all = append(all, expressions(one)...)
		}
	case []any:
		for _, one := range v {
			all = append(all, expressions(one)...)
		}
	}
	return all
}

func TestMonitoring_SpeaksOnlyOfMetricsThatExist(t *testing.T) {
	known := map[string]bool{}
	for _, d := range metrics.All {
		known[d.Name] = true
		if d.Kind == "histogram" {
			known[d.Name+"_bucket"], known[d.Name+"_sum"], known[d.Name+"_count"] = true, true, true
		}
	}
	for _, name := range []string{"alerts.yaml", "dashboard.json"} {
		text, err := os.ReadFile(filepath.Join(monitoring, name))
		if err != nil {
			t.Fatal(err)
		}
		var doc any
		if strings.HasSuffix(name, ".json") {
			err = json.Unmarshal(text, &doc)
		} else {
			err = yaml.Unmarshal(text, &doc)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found := expressions(doc)
		if len(found) < 4 {
			t.Errorf("%s: %d expressions", name, len(found))
		}
		for _, e := range found {
			for _, m := range metric.FindAllString(e, -1) {
				if !known[m] {
					t.Errorf("%s: there is no metric %s in %s", name, m, e)
				}
			}
		}
	}
}

func TestAlerts_AreTakenByPrometheus(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("needs promtool: apt-get install --no-install-recommends prometheus")
	}
	if out, err := exec.Command(promtool, "check", "rules", filepath.Join(monitoring, "alerts.yaml")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
