package gates_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
	"gapless.dev/kit/load"
)

func inASoak(t *testing.T) {
	t.Helper()
	if os.Getenv("SOAK") == "" {
		t.Skip("in a soak: it takes its time")
	}
}

// quiet is a load that leaves the judging to the gate: reads only, on connections of their own.
var quiet = load.Options{Rate: 100, New: 1, Timeout: 10 * time.Second}

// fails has the template ask for 2.0.0, which goes wrong in a way of its own.
func fails(w *world.World, how string) {
	w.Helper()
	w.PatchDeployment(`[{"op":"replace","path":"/spec/template/spec/containers/0/args/1","value":"2.0.0"},
		{"op":"replace","path":"/spec/template/spec/containers/0/args/3","value":"` + how + `"}]`)
}

// The probe gate catches what a readiness probe does not: a candidate that answers late, one that begins to fail after a minute, and one that
// fails only where it is written to, if it may be sent that.
func TestProbe_CatchesWhatIsSlowLateOrFailsOnlyWhenWrittenTo(t *testing.T) {
	inASoak(t)
	t.Parallel()
	for _, tt := range []struct {
		name, stable, candidate, pause string
		probe                          v1alpha1.ProbeGate
		says                           string
	}{
		{"twice as slow", "slow=100ms", "slow=200ms", "1m", v1alpha1.ProbeGate{Rate: 20, Path: "/"}, "slow"},
		{"errors after a minute", "slow=1ms", "errors=20%@60s", "150s", v1alpha1.ProbeGate{Rate: 20, Path: "/"}, "lost"},
		{"errors of POST only", "slow=1ms", "post-errors=50%", "1m", v1alpha1.ProbeGate{Rate: 20, Post: 50, Path: "/"}, "lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := world.New(t)
			deploy(w, 3, "-fail", tt.stable)
			before := w.Theirs()
			w.Adopt(canary(25, tt.pause), with(v1alpha1.Gate{Probe: &tt.probe}))
			var back rollout.Setback
			counted := w.Probing(quiet, func() {
				fails(w, tt.candidate)
				back = aborted(w, 2)
			})
			took := back.At.Sub(firstAnswer(w, counted, "2.0.0")).Round(time.Second)
			t.Logf("taken back %s after its first answer: %s", took, back.Message)
			w.Row("gates", "canary", tt.name, "probe", "taken back", counted, "after "+took.String())
			if back.Reason != rollout.ReasonGateFailed || !strings.Contains(back.Message, tt.says) {
				t.Errorf("%s: %s", back.Reason, back.Message)
			}
			onlyErrors(w, counted)
			w.SameAs(before)
		})
	}
}

// What gives no answer, or none that can be understood, is waited for as long as the gate's deadline says, and is never a yes.
func TestGates_ThatDoNotAnswerAreNeverAYes(t *testing.T) {
	inASoak(t)
	t.Parallel()
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	answers := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	query := func(url string) v1alpha1.Gate {
		return v1alpha1.Gate{Prometheus: &v1alpha1.PrometheusGate{URL: url, Every: seconds(2), Query: "up", Max: new(1.0)}}
	}
	hook := func(url string) v1alpha1.Gate {
		return v1alpha1.Gate{Webhook: &v1alpha1.WebhookGate{URL: url, Timeout: seconds(1), Retries: new(int32(1)), Every: seconds(2)}}
	}
	for _, tt := range []struct {
		name, says string
		gate       v1alpha1.Gate
	}{
		{"a Prometheus that is down", "connection refused", query(down.URL)},
		{"a Prometheus that knows nothing", "no data", query(answers(func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(out, `{"status":"success","data":{"resultType":"vector","result":[]}}`)
		}))},
		{"a webhook that hangs", "1s", hook(answers(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then it is seen that the one who asks is gone
			<-r.Context().Done()
		}))},
		{"a webhook that talks nonsense", "the answer is not", hook(answers(func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, "<html>welcome</html>") }))},
		{"a webhook that redirects", "redirect", hook(answers(func(out http.ResponseWriter, r *http.Request) {
			http.Redirect(out, r, "http://example.org/", http.StatusFound)
		}))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := world.New(t)
			deploy(w, 3)
			before := w.Theirs()
			tt.gate.Deadline = seconds(15)
			w.Adopt(canary(25, "2s"), with(tt.gate))
			var back rollout.Setback
			counted := w.Probing(quiet, func() {
				w.Set("2.0.0")
				back = aborted(w, 2)
			})
			t.Log(back.Message)
			if back.Reason != rollout.ReasonGateInconclusive || !strings.Contains(back.Message, tt.says) {
				t.Errorf("%s: %s", back.Reason, back.Message)
			}
			w.NothingLost(counted)
			w.Row("gates", "canary", tt.name, "prometheus or webhook", "inconclusive, taken back", counted)
			w.SameAs(before)
		})
	}
}

// A controller that is stopped in the middle of a gate asks on as the same question, and the measurement goes on where it was.
func TestGates_OutliveTheController(t *testing.T) {
	inASoak(t)
	t.Parallel()
	var asked atomic.Int64
	var decides atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if !decides.Load() {
			out.WriteHeader(http.StatusAccepted)
		}
	}))
	t.Cleanup(s.Close)
	w := world.New(t)
	deploy(w, 3)
	before := w.Theirs()
	w.Adopt(canary(25, "40s"), with(
		v1alpha1.Gate{Name: "probe", Probe: &v1alpha1.ProbeGate{Rate: 20}},
		v1alpha1.Gate{Name: "hook", At: []string{"step"}, Webhook: &v1alpha1.WebhookGate{URL: s.URL, Every: seconds(2)}},
	))
	// measured is how many requests of the candidate are remembered, and would be counted on from.
	measured := func() (n float64) {
		var kept struct {
			Lost struct{ Bins [][4]float64 }
		}
		if memory := state(w).Gates["probe"].Memory; memory != "" {
			world.Check(t, json.Unmarshal([]byte(memory), &kept))
		}
		for _, bin := range kept.Lost.Bins {
			n += bin[2]
		}
		return n
	}
	more := func(than float64) {
		w.Eventually("the probe's measurements are kept", time.Minute, func() error {
			if n := measured(); n <= than {
				return fmt.Errorf("%v requests of the candidate, and there were %v", n, than)
			}
			return nil
		})
	}
	counted := w.Probing(quiet, func() {
		w.Set("2.0.0")
		w.Until("both gates are asked", func(r *v1alpha1.Rollout) bool {
			return r.Status.Phase == string(rollout.Shifting) && r.Status.Weight == 25 && asked.Load() > 0
		})
		begun := time.Now()
		for range 2 {
			more(0)
			w.Halt()
			kept := measured()
			w.Start()
			more(kept)
			now, most := measured(), 20*time.Since(begun.Add(-time.Minute)).Seconds()
			t.Logf("%v requests of the candidate were measured before the controller was stopped, %v after", kept, now)
			if now > most {
				t.Errorf("%v requests were counted of %v at most", now, most)
			}
		}
		decides.Store(true)
		promoted(w, 2)
	})
	w.NothingLost(counted)
	w.Row("gates", "canary", "probe and webhook", "the controller is stopped twice", "promoted", counted)
	w.SameAs(before)
	gates := map[string]string{}
	for _, g := range w.Evidence(2).Gates {
		if was, twice := gates[g.Name]; twice {
			t.Errorf("%s stands twice in the report: %s and %s", g.Name, was, g.Outcome)
		}
		gates[g.Name] = g.Outcome
		t.Logf("%s: %s, %v", g.Name, g.Outcome, g.Numbers)
	}
	if gates["probe"] != "pass" || gates["hook"] != "pass" {
		t.Errorf("the report says %v", gates)
	}
}
