package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is a probe whose bins are ten times as short and that asks ten times as often.
func quick(s spec.Probe) *Probe {
	s.Rate = 100
	p := New(*spec.Gate{Probe: &s}.WithDefaults(rollout.Canary).Probe)
	p.width, p.beat = 500*time.Millisecond, 100*time.Millisecond
	return p
}

// A world is two versions and the address before them.
type world struct {
	mu      sync.Mutex
	subject gate.Subject
	saw     map[rollout.Version]int
}

func (w *world) question(memory string) gate.Question {
	return gate.Question{
		Question: rollout.Question{Revision: 2, Moment: rollout.DuringStep, Since: time.Now()}, Name: "probe", Memory: memory,
		Subject: func() gate.Subject { w.mu.Lock(); defer w.mu.Unlock(); return w.subject },
		Saw:     func(s gate.Sighting) { w.mu.Lock(); defer w.mu.Unlock(); w.saw[s.Version]++ },
	}
}

func serve(t *testing.T, version string, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Gapless-Version", version)
		if r.URL.Path != "/ready" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		handle(w, r)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func pair(t *testing.T, stable, candidate http.HandlerFunc) *world {
	t.Helper()
	side := func(v rollout.Version, name string, h http.HandlerFunc) gate.Side {
		address := serve(t, name, h)
		return gate.Side{Version: v, Name: name, Instances: []gate.Instance{{Name: name + "-1", Address: address, Health: address, Serving: true}}}
	}
	w := &world{saw: map[rollout.Version]int{}, subject: gate.Subject{App: "demo", Ready: "/ready", Stable: side("a", "1.0.0", stable), Candidate: side("b", "2.0.0", candidate)}}
	var n atomic.Int64
	entry := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		h, name := stable, "1.0.0"
		if n.Add(1)%4 == 0 {
			h, name = candidate, "2.0.0"
		}
		out.Header().Set("Gapless-Version", name)
		h(out, r)
	}))
	t.Cleanup(entry.Close)
	w.subject.Entry = entry.URL
	return w
}

func well(http.ResponseWriter, *http.Request) {}

// oneIn fails each n-th request.
func oneIn(n int64) http.HandlerFunc {
	var count atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		if count.Add(1)%n == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
}

// until watches until an answer is there, and returns it.
func until(t *testing.T, p *Probe, q gate.Question, is func(rollout.Verdict) bool) rollout.Verdict {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var last rollout.Verdict
	if err := p.Watch(ctx, q, func(v rollout.Verdict) {
		if last = v; is(v) {
			stop()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if !is(last) {
		t.Fatalf("in a minute it only said %+v", last)
	}
	return last
}

func decided(v rollout.Verdict) bool { return v.Outcome == rollout.Pass || v.Outcome == rollout.Fail }

func TestWatch_PassesTwoGoodVersionsAndSeesTheirShares(t *testing.T) {
	w := pair(t, well, well)
	v := until(t, quick(spec.Probe{Timeout: 200 * time.Millisecond}), w.question(""), decided)
	if v.Outcome != rollout.Pass {
		t.Errorf("%+v", v)
	}
	if share := float64(w.saw["b"]) / float64(w.saw["a"]+w.saw["b"]); share < 0.2 || share > 0.3 {
		t.Errorf("the candidate was seen in %v of the answers", share)
	}
}

func TestWatch_FindsWhatIsWrong(t *testing.T) {
	slow := func(d time.Duration) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(d):
			case <-r.Context().Done():
			}
		}
	}
	for name, test := range map[string]struct {
		stable, candidate http.HandlerFunc
		spec              spec.Probe
		reason            string
	}{
		"one in five fails": {well, oneIn(5), spec.Probe{}, "lost requests: "},
		"twice as slow":     {slow(50 * time.Millisecond), slow(100 * time.Millisecond), spec.Probe{}, "answers slower than "},
		"hangs":             {well, slow(time.Hour), spec.Probe{}, "lost requests: "},
		"fails for POST only": {well, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}, spec.Probe{Post: 0.3}, "lost requests: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := pair(t, test.stable, test.candidate)
			w.subject.Entry = "" // what is found there as well is told in another test
			test.spec.Timeout = 300 * time.Millisecond
			v := until(t, quick(test.spec), w.question(""), func(v rollout.Verdict) bool { return v.Outcome == rollout.Fail })
			if !strings.HasPrefix(v.Reason, test.reason) {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestWatch_FindsARouteThatLosesRequests(t *testing.T) {
	w := pair(t, well, well)
	broken := httptest.NewServer(oneIn(3))
	t.Cleanup(broken.Close)
	w.subject.Entry = broken.URL
	v := until(t, quick(spec.Probe{Timeout: 300 * time.Millisecond}), w.question(""), func(v rollout.Verdict) bool { return v.Outcome == rollout.Fail })
	if !strings.HasPrefix(v.Reason, "lost requests through "+broken.URL) {
		t.Errorf("%+v", v)
	}
}

func TestWatch_AnInstanceOnItsWayOutSaysNothing(t *testing.T) {
	w := pair(t, well, well)
	w.subject.Entry = ""
	dead := w.subject.Candidate
	dead.Instances = append(dead.Instances, gate.Instance{Name: "2.0.0-2", Address: "127.0.0.1:1", Health: "127.0.0.1:1", Serving: true})
	w.subject.Candidate = dead
	looks := 0
	v := until(t, quick(spec.Probe{Timeout: 200 * time.Millisecond}), w.question(""), func(v rollout.Verdict) bool {
		if looks++; looks == 3 { // within the lag: nothing was judged yet
			w.mu.Lock()
			w.subject.Candidate.Instances[1].Leaving = true
			w.mu.Unlock()
		}
		return decided(v)
	})
	if v.Outcome != rollout.Pass || v.Numbers["lost_candidate"] > 0 {
		t.Errorf("%+v", v)
	}
}

func TestWatch_ACandidateThatStandsAloneMustLoseNothing(t *testing.T) {
	w := pair(t, well, well)
	w.subject.Entry, w.subject.Stable.Instances = "", nil
	if v := until(t, quick(spec.Probe{Timeout: 200 * time.Millisecond}), w.question(""), decided); v.Outcome != rollout.Pass {
		t.Errorf("%+v", v)
	}
	w = pair(t, well, oneIn(3))
	w.subject.Entry, w.subject.Stable.Instances = "", nil
	if v := until(t, quick(spec.Probe{Timeout: 200 * time.Millisecond}), w.question(""), decided); v.Outcome != rollout.Fail {
		t.Errorf("%+v", v)
	}
}

// A restart goes on from the bins that were over: none of them is lost, and none is counted twice.
func TestWatch_GoesOnAfterARestart(t *testing.T) {
	w := pair(t, well, well)
	p := quick(spec.Probe{Timeout: 100 * time.Millisecond, Tolerance: 0.002}) // it takes thousands of requests to pass
	memory := ""
	var asked float64
	for range 4 {
		looks := 0
		v := until(t, p, w.question(memory), func(rollout.Verdict) bool { looks++; return looks >= 30 })
		var before, after kept
		if memory != "" {
			if err := json.Unmarshal([]byte(memory), &before); err != nil {
				t.Fatal(err)
			}
		}
		if err := json.Unmarshal([]byte(v.Memory), &after); err != nil {
			t.Fatal(err)
		}
		for i, b := range before.Lost.Bins {
			if after.Lost.First != before.Lost.First || fmt.Sprint(after.Lost.Bins[i]) != fmt.Sprint(b) {
				t.Errorf("bin %d was %v and is %v", i, b, after.Lost.Bins[i])
			}
		}
		total := 0.0
		for _, b := range after.Lost.Bins {
			total += b[0] + b[2]
		}
		if total <= asked {
			t.Errorf("after a restart %g requests are known of, before it %g", total, asked)
		}
		memory, asked = v.Memory, total
	}
	if len(memory) > 12<<10 {
		t.Errorf("it remembers %d bytes", len(memory))
	}
}

// Readiness at a port of its own is not what the entry answers: then the versions themselves are all there is to judge by.
func TestWatch_ReadinessAtAnotherPortNeedsNoEntry(t *testing.T) {
	w := pair(t, well, well)
	for _, side := range []*gate.Side{&w.subject.Stable, &w.subject.Candidate} {
		side.Instances[0].Health = serve(t, side.Name, well)
	}
	if v := until(t, quick(spec.Probe{Timeout: 200 * time.Millisecond}), w.question(""), decided); v.Outcome != rollout.Pass {
		t.Errorf("%+v", v)
	}
}
