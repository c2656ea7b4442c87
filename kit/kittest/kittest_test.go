package kittest

import (
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// target is this binary as the service of that name.
func target(t *testing.T, name string) *Command {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &Command{
		Path: self,
		Env:  []string{serveEnv + "=" + name, "GAPLESS_VERSION=1.0.0"},
		Declared: Spec{
			Grace: 9 * time.Second, Drain: 1500 * time.Millisecond,
			SlowPath: "/slow?for={duration}", SlowStart: []string{"SLOW_START=5s"},
			EventPath: "/events", SocketPath: "/socket", HTTP2: true,
			Version: "1.0.0", Edges: 3, Startup: 20 * time.Second,
		},
	}
}

func TestConform_AServiceWithKitKeepsEveryRule(t *testing.T) {
	t.Parallel()
	Conform(t, target(t, "good"))
}

func TestConform_TheSwapAloneKeepsEveryRule(t *testing.T) {
	t.Parallel()
	swap := target(t, "swap")
	swap.SamePort = true
	swap.Declared.ReadyPath, swap.Declared.LivePath = "/ready", "/healthz"
	swap.Declared.SlowStart = nil
	swap.Declared.HTTP2 = false
	swap.Declared.SlowPath = "" // as for a foreign service: slow uploads
	Conform(t, swap)
}

// TestJudge_ABrokenServiceFailsExactlyTheRuleItBreaks leaves out Z10, which a
// single wrong thing hardly breaks alone.
func TestJudge_ABrokenServiceFailsExactlyTheRuleItBreaks(t *testing.T) {
	t.Parallel()
	rules := []string{"Z1", "Z2", "Z3", "Z4", "Z5", "Z6", "Z7", "Z8", "Z9", "Z11", "Z13", "Z14", "Z15", "Z16", "Z20", "Z21", "Z22"}
	want := map[string]string{
		"naive":           "Z1",
		"live-is-ready":   "Z2",
		"ready-too-early": "Z3",
		"always-ready":    "Z4",
		"closes-idle":     "Z7",
		"no-goodbye":      "Z8",
		"drops-slow":      "Z9",
		"no-last-word":    "Z11",
		"exit-code":       "Z13",
		"lingers":         "Z14",
		"second-term":     "Z15",
		"deaf-start":      "Z16",
		"orphan":          "Z20",
		"nameless":        "Z21",
		"silent":          "Z22",
	}
	results := judgeAll(t, slices.Sorted(maps.Keys(want)), rules)
	for service, rule := range want {
		t.Run(service, func(t *testing.T) {
			var failed []string
			for _, r := range results[service] {
				if r.Status == Fail {
					failed = append(failed, r.ID)
					t.Logf("%s: %s\n  %s", r.ID, r.Why, strings.Join(r.Evidence, "\n  "))
				}
				blocked := strings.HasPrefix(r.Why, "blocked by ")
				if r.ID == "Z9" && blocked != (rule == "Z1" || rule == "Z3") {
					t.Errorf("after %s failed, Z9: %s %q", rule, r.Status, r.Why)
				}
			}
			if got := strings.Join(failed, " "); got != rule {
				t.Errorf("%s failed %q, want %s", service, got, rule)
			}
		})
	}
}

// judgeAll judges several services at a time, whatever the number of CPUs:
// most of the time they wait.
func judgeAll(t *testing.T, services, rules []string) map[string][]Result {
	t.Helper()
	results := make(map[string][]Result)
	var mu sync.Mutex
	var judging sync.WaitGroup
	places := make(chan struct{}, 8)
	for _, service := range services {
		judging.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			one := Judge(t.Context(), target(t, service), nil, rules...)
			mu.Lock()
			defer mu.Unlock()
			results[service] = one
		})
	}
	judging.Wait()
	return results
}

func TestJudge_WithoutADrainTrafficIsLost(t *testing.T) {
	t.Parallel()
	results := Judge(t.Context(), target(t, "no-drain"), nil, "Z5")
	if Passed(results) {
		t.Errorf("got %+v", results)
	}
}

func TestJudge_RunsOnlyWhatWasAskedForAndWhatItNeeds(t *testing.T) {
	t.Parallel()
	var ids []string
	Judge(t.Context(), target(t, "good"), func(r Result) { ids = append(ids, r.ID) }, "Z14")
	if got := strings.Join(ids, " "); got != "Z3 Z1 Z14" {
		t.Errorf("judged %q", got)
	}
}

func TestRules_AreWholeAndInAnOrderThatCanBeJudged(t *testing.T) {
	seen := make(map[string]bool)
	for _, rule := range Rules() {
		if rule.ID == "" || rule.Title == "" || rule.Why == "" || rule.Fix == "" || rule.Run == nil || seen[rule.ID] {
			t.Errorf("rule %q is not whole, or there twice", rule.ID)
		}
		for _, need := range rule.Needs {
			if !seen[need] {
				t.Errorf("%s needs %s, which comes after it", rule.ID, need)
			}
		}
		seen[rule.ID] = true
	}
}

func TestParseReport_FindsItWhereverItWasSaid(t *testing.T) {
	const text = `{"reason":"SIGTERM","exit":0,"phases":[],"cut":{"requests":0,"hijacked":0}}`
	for name, line := range map[string]string{
		"a line of its own": text,
		"text log":          `2026/01/01 00:00:00 INFO done service=1.0.0 report="` + strings.ReplaceAll(text, `"`, `\"`) + `"`,
		"JSON log":          `{"level":"INFO","msg":"done","report":"` + strings.ReplaceAll(text, `"`, `\"`) + `"}`,
	} {
		if report, ok := reportIn(line); !ok || report.Reason != "SIGTERM" {
			t.Errorf("%s: %v %+v", name, ok, report)
		}
	}
	if _, ok := reportIn(`{"reason":"because"}`); ok {
		t.Error("took any JSON for a report")
	}
}
