package local

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/notify"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

func gated(t *testing.T, how string, plan rollout.Plan, gates ...spec.Gate) app.App {
	t.Helper()
	a := testApp(t, how, plan)
	a.Gates = spec.All(gates, plan.Strategy)
	if err := spec.Validate(a.Gates); err != nil {
		t.Fatal(err)
	}
	a.Plan.Gates = spec.Planned(a.Gates)
	return a
}

func revisionOver(revision int) func(report.Report) bool {
	return func(r report.Report) bool { return r.Revision == revision && r.Over() }
}

func TestGates_AreAskedAndAnswerIsWrittenDown(t *testing.T) {
	var calls atomic.Int64
	letters := make(chan string, 20)
	box := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e notify.Event
		if err := json.NewDecoder(r.Body).Decode(&e); err == nil {
			letters <- string(e.Type) + " " + e.To
		}
	}))
	defer box.Close()
	board := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	defer board.Close()
	plan := rollout.Plan{Strategy: rollout.Canary, Steps: []rollout.Step{{Weight: 50}}}
	demo := gated(t, "good", plan,
		spec.Gate{Window: &spec.Window{}},
		spec.Gate{Webhook: &spec.Webhook{URL: board.URL, Every: time.Second}},
		spec.Gate{At: []rollout.Moment{rollout.DuringStep}, Job: &spec.Job{Command: []string{"sh", "-c", `test "$GAPLESS_CANDIDATE" = 2.0.0 && test -n "$GAPLESS_CANDIDATE_ADDRESS"`}}},
		spec.Gate{Name: "report", DryRun: true, At: []rollout.Moment{rollout.DuringStep}, Job: &spec.Job{Command: []string{"false"}}},
	)
	demo.Notify = []spec.Notify{{URL: box.URL}}
	h := up(t, Options{File: app.File{Apps: []app.App{demo}}})
	h.until("stable serves", serving("1.0.0", 2))
	l := loadOn(t, h.url("/"), 60)
	l.sees(t, "1.0.0")
	if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
		t.Fatal(err)
	}
	r := h.until("2.0.0 is stable", revisionOver(2))
	l.none(t)
	if r.Outcome != report.Promoted {
		t.Errorf("%s: %s", r.Outcome, r.Message)
	}
	got := map[string]string{}
	for _, g := range r.Gates {
		got[g.Name+" "+g.At] = g.Outcome
	}
	for name, want := range map[string]string{"window beforeStart": "pass", "job step": "pass", "webhook beforePromotion": "pass"} {
		if got[name] != want {
			t.Errorf("%s: %q; all: %v", name, got[name], got)
		}
	}
	for _, want := range []string{"started 2.0.0", "promoted 2.0.0"} {
		for got := ""; got != want; {
			select {
			case got = <-letters: // the first version is told of, too
			case <-t.Context().Done():
				t.Fatalf("nobody was told: %s", want)
			}
		}
	}
	if calls.Load() != 2 {
		t.Errorf("the webhook was called %d times", calls.Load())
	}
}

func TestGates_OneThatFailsTakesTheRolloutBack(t *testing.T) {
	plan := rollout.Plan{Strategy: rollout.BlueGreen}
	h := up(t, Options{File: app.File{Apps: []app.App{gated(t, "good", plan, spec.Gate{
		Name: "smoke", Job: &spec.Job{Command: []string{"sh", "-c", "echo the schema is unknown; exit 1"}},
	})}}})
	h.until("stable serves", serving("1.0.0", 2))
	l := loadOn(t, h.url("/"), 60)
	l.sees(t, "1.0.0")
	if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
		t.Fatal(err)
	}
	r := h.until("2.0.0 went back", revisionOver(2))
	l.none(t)
	if r.Outcome != report.Aborted || !strings.Contains(r.Message, "gate smoke: sh ended with exit code 1: the schema is unknown") || l.by["2.0.0"] > 0 {
		t.Errorf("%s: %s; answers %v", r.Outcome, r.Message, l.by)
	}
	// Refused is refused, until somebody says so.
	if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
		t.Fatal(err)
	}
	h.until("2.0.0 is held", func(r report.Report) bool { return r.Phase == string(rollout.Held) })
}

// The prober finds a candidate that answers half of the requests with 500, also when Gapless is stopped and started in between.
func TestGates_TheProbeFindsErrorsAcrossARestart(t *testing.T) {
	plan := rollout.Plan{Strategy: rollout.Canary, Steps: []rollout.Step{{Weight: 10, Manual: true}}}
	file := app.File{Apps: []app.App{gated(t, "errs@2.0.0", plan, spec.Gate{Probe: &spec.Probe{Path: "/", Rate: 40, Timeout: time.Second}})}}
	dir := t.TempDir()
	h := up(t, Options{File: file, StateDir: dir, Leave: true})
	h.until("stable serves", serving("1.0.0", 2))
	if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
		t.Fatal(err)
	}
	h.until("it is asked", func(r report.Report) bool { return len(r.Gates) > 0 })
	h.stop()
	h = up(t, Options{File: file, StateDir: dir})
	r := h.until("2.0.0 went back", revisionOver(2))
	if r.Outcome != report.Aborted || !strings.Contains(r.Message, "gate probe: lost requests") {
		t.Errorf("%s: %s", r.Outcome, r.Message)
	}
	if g := r.Gates[len(r.Gates)-1]; g.Outcome != "fail" || g.Numbers["lost_stable"] > 0 {
		t.Errorf("%+v", g)
	}
}
