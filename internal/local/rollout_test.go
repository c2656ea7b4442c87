package local

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/kit/load"
)

// A loader sends requests until it is stopped, and counts what became of them.
type loader struct {
	stop func()
	mu   sync.Mutex
	all  int
	lost []load.Result
	over []load.Result // all that were answered or lost
	by   map[string]int
	news chan struct{} // something was answered or lost
}

func loadOn(t *testing.T, url string, rate float64) *loader {
	t.Helper()
	return loadWith(t, load.Options{URL: url, Rate: rate, New: 0.5, Post: 0.2})
}

func loadWith(t *testing.T, o load.Options) *loader {
	t.Helper()
	o.Timeout = 30 * time.Second
	ctx, cancel := context.WithCancel(context.Background())
	l := &loader{by: map[string]int{}, news: make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() {
		done <- load.Run(ctx, o, func(r load.Result) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.all++
			l.over = append(l.over, r)
			l.by[r.Version]++
			if r.Class.Lost() {
				l.lost = append(l.lost, r)
			}
			select {
			case l.news <- struct{}{}:
			default:
			}
		})
	}()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	t.Cleanup(l.stop)
	return l
}

// sees returns when a version has answered ten times: a rollout can be over between two requests.
func (l *loader) sees(t *testing.T, version string) {
	t.Helper()
	l.waits(t, version+" answers", func() bool { return l.by[version] >= 10 })
}

// since returns when ten requests that began after a moment are over.
func (l *loader) since(t *testing.T, moment time.Time) {
	t.Helper()
	l.waits(t, "requests begin and end", func() bool {
		n := 0
		for _, r := range l.over {
			if r.Started.After(moment) {
				n++
			}
		}
		return n >= 10
	})
}

// waits returns once a condition holds, which is asked with the lock held.
func (l *loader) waits(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for {
		l.mu.Lock()
		ok := holds()
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-l.news:
		case <-t.Context().Done():
			t.Fatalf("in vain: %s", what)
		}
	}
}

func (l *loader) none(t *testing.T) {
	t.Helper()
	l.stop()
	if l.all == 0 {
		t.Fatal("nothing was sent")
	}
	for n, r := range l.lost {
		if n < 5 {
			t.Errorf("lost: %+v", r)
		}
	}
	if len(l.lost) > 0 {
		t.Errorf("%d of %d lost", len(l.lost), l.all)
	}
	t.Logf("%d requests, 0 lost: %v", l.all, l.by)
}

var canary = rollout.Plan{Strategy: rollout.Canary, Steps: []rollout.Step{{Weight: 25, Pause: 500 * time.Millisecond}, {Weight: 50, Pause: 300 * time.Millisecond}}}

func TestRollout_LosesNothing(t *testing.T) {
	plans := []rollout.Plan{
		{Strategy: rollout.Rolling, MaxSurge: 1},
		{Strategy: rollout.BlueGreen},
		canary,
	}
	for _, plan := range plans {
		for _, how := range []string{"good", "naive"} {
			t.Run(string(plan.Strategy)+"/"+how, func(t *testing.T) {
				h := up(t, Options{File: app.File{Apps: []app.App{testApp(t, how, plan)}}})
				h.until("stable serves", serving("1.0.0", 2))
				l := loadOn(t, h.url("/"), 60)
				l.sees(t, "1.0.0")
				if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
					t.Fatal(err)
				}
				r := h.until("2.0.0 serves", serving("2.0.0", 2))
				l.sees(t, "2.0.0")
				l.none(t)
				if r.Outcome != report.Promoted {
					t.Errorf("outcome %s", r.Outcome)
				}
				if plan.Strategy == rollout.Canary && !slices.ContainsFunc(r.Converged, func(c report.Convergence) bool {
					return c.Grade == string(rollout.Acknowledged)
				}) {
					t.Errorf("no acknowledged convergence in %+v", r.Converged)
				}
			})
		}
	}
}

func TestRecreate_ShowsItsDowntimeAsOneGap(t *testing.T) {
	h := up(t, Options{File: app.File{Apps: []app.App{testApp(t, "late@2.0.0", rollout.Plan{Strategy: rollout.Recreate})}}})
	h.until("stable serves", serving("1.0.0", 2))
	l := loadOn(t, h.url("/"), 60)
	l.sees(t, "1.0.0")
	if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
		t.Fatal(err)
	}
	h.until("2.0.0 serves", serving("2.0.0", 2))
	l.sees(t, "2.0.0")
	l.stop()
	if len(l.lost) == 0 {
		t.Fatalf("nothing was lost of %d: %v", l.all, l.by)
	}
	first, last := l.lost[0].Scheduled, l.lost[0].Scheduled
	for _, r := range l.lost {
		if r.Status != 503 {
			t.Errorf("lost other than by the proxy's own word: %+v", r)
		}
		if r.Scheduled.Before(first) {
			first = r.Scheduled
		}
		if r.Scheduled.After(last) {
			last = r.Scheduled
		}
	}
	t.Logf("%d of %d lost, over %s", len(l.lost), l.all, last.Sub(first).Round(time.Millisecond))
}

func TestReports_OfARevisionTellNothingOfTheNext(t *testing.T) {
	h := up(t, Options{File: app.File{Apps: []app.App{testApp(t, "naive", rollout.Plan{Strategy: rollout.BlueGreen})}}})
	h.until("1.0.0 serves", serving("1.0.0", 2))
	for _, v := range []rollout.Version{"2.0.0", "3.0.0"} {
		if _, err := h.c.Deploy(t.Context(), "demo", v); err != nil {
			t.Fatal(err)
		}
		h.until(string(v)+" serves", serving(string(v), 2))
		if code := status(t, h.url("/")); code != 200 {
			t.Errorf("status %d", code)
		}
	}
	r, err := h.c.Report(t.Context(), "demo", 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Versions) != 1 || r.Versions[0].Name != "2.0.0" || r.Versions[0].Role != "stable" || r.Versions[0].Ready != 2 {
		t.Errorf("versions %+v", r.Versions)
	}
	if c := r.Versions[0].Counts; c == nil || c.Requests != 1 {
		t.Errorf("counts %+v", c)
	}
}

// look asks under a name, and says which version answered.
func (h *testHost) look(host string) (int, string) {
	h.t.Helper()
	req, err := http.NewRequest(http.MethodGet, h.url("/"), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Host = host
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode, res.Header.Get("Gapless-Version")
}

func TestBlueGreen_ShowsItsCandidateUnderANameOfItsOwn(t *testing.T) {
	h := up(t, Options{File: app.File{Apps: []app.App{testApp(t, "naive", rollout.Plan{Strategy: rollout.BlueGreen, Manual: true})}}})
	h.until("stable serves", serving("1.0.0", 2))
	look := h.look
	if code, v := look("demo-preview.localhost"); code != 404 {
		t.Errorf("without a candidate %s answers %d", v, code)
	}
	if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
		t.Fatal(err)
	}
	h.until("the candidate is prepared", awaiting)
	for range 4 {
		if code, v := look("demo-preview.localhost"); code != 200 || v != "2.0.0" {
			t.Errorf("the preview: %s answers %d", v, code)
		}
		if code, v := look("demo.localhost"); code != 200 || v != "1.0.0" {
			t.Errorf("the app: %s answers %d", v, code)
		}
	}
	if _, err := h.c.Order(t.Context(), "demo", rollout.Promote); err != nil {
		t.Fatal(err)
	}
	h.until("2.0.0 serves", serving("2.0.0", 2))
	if code, v := look("demo-preview.localhost"); code != 404 {
		t.Errorf("after the rollout %s answers %d", v, code)
	}
}

func holdsBack(r report.Report) bool { return r.Reason == rollout.ReasonHoldingBack }

func TestHoldBack_BringsTheOldVersionBackAsItStands(t *testing.T) {
	for _, verb := range []rollout.Verb{rollout.Undo, rollout.Abort} {
		t.Run(string(verb), func(t *testing.T) {
			h := up(t, Options{File: app.File{Apps: []app.App{testApp(t, "naive", rollout.Plan{Strategy: rollout.BlueGreen, HoldBack: time.Hour})}}})
			before := pids(h.until("stable serves", serving("1.0.0", 2)), "1.0.0")
			l := loadOn(t, h.url("/"), 60)
			l.sees(t, "1.0.0")
			h.deploy("2.0.0")
			r := h.until("1.0.0 is held back", holdsBack)
			l.sees(t, "2.0.0")
			if held := pids(r, "1.0.0"); r.Weight != 100 || !slices.Equal(held, before) {
				t.Errorf("at %d %% 1.0.0 runs as %v, ran as %v", r.Weight, held, before)
			}
			h.order(verb)
			r = h.until("stable serves again", func(r report.Report) bool { return over(report.Aborted)(r) && serving("1.0.0", 2)(r) })
			l.since(t, time.Now())
			l.none(t)
			if after := pids(r, "1.0.0"); !slices.Equal(after, before) || r.Versions[0].Instances[0].Restarts+r.Versions[0].Instances[1].Restarts != 0 {
				t.Errorf("1.0.0 runs as %v, ran as %v: %+v", after, before, r.Versions[0].Instances)
			}
			if v := l.over[len(l.over)-1].Version; v != "1.0.0" {
				t.Errorf("the last one was answered by %s", v)
			}
		})
	}
}
