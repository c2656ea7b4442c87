package prometheus_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/prometheus"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A server answers queries as a Prometheus does that scrapes each series at its own phase of every five seconds.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	series map[string][]series // by query
	asked  []string
	token  string
	fail   int // status of every answer; 0: they are right
}

// A series has a value at each moment of a scrape; NaN: none.
type series struct {
	name  string
	phase time.Duration
	at    func(time.Time) float64
}

const scrape = 5 * time.Second

func (s series) scraped(t time.Time) float64 {
	last := t.Add(-s.phase).Truncate(scrape).Add(s.phase)
	return s.at(last)
}

func start(t *testing.T) *server {
	t.Helper()
	s := &server{series: map[string][]series{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.Close)
	return s
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = r.Header.Get("Authorization")
	query := r.FormValue("query")
	s.asked = append(s.asked, query)
	w.Header().Set("Content-Type", "application/json")
	if s.fail != 0 {
		w.WriteHeader(s.fail)
		fmt.Fprint(w, `{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}`)
		return
	}
	seconds := func(field string) time.Time {
		f, _ := strconv.ParseFloat(r.FormValue(field), 64)
		return time.UnixMilli(int64(math.Round(f * 1000)))
	}
	kind, result := "vector", []map[string]any{}
	for _, one := range s.series[query] {
		metric := map[string]string{"__name__": one.name}
		if strings.HasSuffix(r.URL.Path, "/query") {
			at := seconds("time")
			if v := one.scraped(at); !math.IsNaN(v) || one.name == "nan" {
				result = append(result, map[string]any{"metric": metric, "value": []any{at.Unix(), fmt.Sprint(v)}})
			}
			continue
		}
		kind = "matrix"
		var values [][]any
		step, _ := time.ParseDuration(r.FormValue("step") + "s")
		for at := seconds("start"); !at.After(seconds("end")); at = at.Add(step) {
			if v := one.scraped(at); !math.IsNaN(v) {
				values = append(values, []any{float64(at.UnixMilli()) / 1000, fmt.Sprint(v)})
			}
		}
		if len(values) > 0 {
			result = append(result, map[string]any{"metric": metric, "values": values})
		}
	}
	if strings.HasSuffix(r.URL.Path, "/query_range") {
		kind = "matrix"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": kind, "result": result}})
}

var begin = time.Unix(1_000_000, 0)

func question(memory string) gate.Question {
	return gate.Question{
		Question: rollout.Question{Revision: 2, Moment: rollout.DuringStep, Since: begin}, Name: "errors", Memory: memory,
		Subject: func() gate.Subject {
			return gate.Subject{
				App: "demo", Namespace: "shop",
				Stable:    gate.Side{Version: "aaa", Name: "1.0.0", Pods: "demo-aaa-.+"},
				Candidate: gate.Side{Version: "bbb", Name: "2.0.0", Pods: "demo-bbb-.+", Weight: 10},
			}
		},
	}
}

// look asks once at a moment.
func look(t *testing.T, s spec.Prometheus, q gate.Question, now time.Time) (rollout.Verdict, error) {
	t.Helper()
	p, err := prometheus.New(*spec.Gate{Prometheus: &s}.WithDefaults(rollout.Canary).Prometheus, "")
	if err != nil {
		t.Fatal(err)
	}
	p.Now = func() time.Time { return now }
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var last rollout.Verdict
	err = p.Watch(ctx, q, func(v rollout.Verdict) { last = v; stop() })
	return last, err
}

// A traffic has two versions count requests and bad ones from a moment on.
type traffic struct {
	bad        float64       // of the candidate's requests
	from       time.Duration // when it begins to be bad
	scrapeAt   time.Duration
	bornInside bool // the candidate's counters appear after the traffic began
}

// install makes the series: 270 requests a second on three pods of stable, 30 on one of the candidate.
func (s *server) install(x traffic, seed uint64) {
	bad := func(t time.Time) float64 {
		r, n := rand.New(rand.NewPCG(seed, 1)), 0.0
		for i := range int(t.Sub(begin).Seconds() * 30) {
			if r.Float64() < x.bad && time.Duration(i)*time.Second/30 >= x.from {
				n++
			}
		}
		return n
	}
	pod := func(name string, rate float64, phase time.Duration) series {
		return series{name, phase, func(t time.Time) float64 { return 1000 + math.Floor(rate*max(0, t.Sub(begin).Seconds())) }}
	}
	candidate := pod("candidate", 30, x.scrapeAt)
	if x.bornInside {
		candidate.at = func(t time.Time) float64 {
			if t.Before(begin.Add(time.Second)) {
				return math.NaN()
			}
			return math.Floor(30 * t.Sub(begin).Seconds())
		}
	}
	s.series = map[string][]series{
		`requests{pod=~"demo-aaa-.+"}`: {pod("1", 90, time.Second), pod("2", 90, 2*time.Second), pod("3", 90, 4*time.Second)},
		`requests{pod=~"demo-bbb-.+"}`: {candidate},
		`errors{pod=~"demo-bbb-.+"}`: {{"errors", x.scrapeAt, func(t time.Time) float64 {
			if n := bad(t); n > 0 {
				return n
			}
			return math.NaN() // such a series appears with the first error
		}}},
	}
}

func comparing(url string) spec.Prometheus {
	return spec.Prometheus{URL: url, Bad: `errors{pod=~"{{pods}}"}`, Total: `requests{pod=~"{{pods}}"}`}
}

// found is how long it took until the gate failed, or 0.
func found(t *testing.T, s *server) time.Duration {
	t.Helper()
	for at := time.Second; at <= 2*time.Minute; at += time.Second {
		v, err := look(t, comparing(s.URL), question(""), begin.Add(at))
		if err != nil {
			t.Fatal(err)
		}
		if v.Outcome == rollout.Fail {
			return at
		}
	}
	return 0
}

func TestCompare_FindsTwoPercentWithin30SecondsWhateverTheScrape(t *testing.T) {
	late := 0
	const tries = 20
	for i := range tries {
		s := start(t)
		s.install(traffic{bad: 0.02, scrapeAt: time.Duration(i%10) * 500 * time.Millisecond, bornInside: i%2 == 0}, uint64(i))
		if took := found(t, s); took == 0 || took > 30*time.Second {
			t.Logf("scraped %v after the full five seconds: %v", time.Duration(i%10)*500*time.Millisecond, took)
			late++
		}
	}
	if late > 1 {
		t.Errorf("%d of %d were not found within 30 s", late, tries)
	}
}

func TestCompare_FindsWhatLeaksAfterAMinute(t *testing.T) {
	s := start(t)
	s.install(traffic{bad: 0.05, from: time.Minute}, 3)
	if took := found(t, s); took <= time.Minute || took > 100*time.Second {
		t.Errorf("found after %v", took)
	}
}

func TestCompare_PassesWhatIsGoodAndStaysThere(t *testing.T) {
	s := start(t)
	s.install(traffic{}, 1)
	var passed time.Duration
	for at := time.Second; at <= time.Minute; at += time.Second {
		v, err := look(t, comparing(s.URL), question(""), begin.Add(at))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case v.Outcome == rollout.Fail:
			t.Fatalf("after %v: %s", at, v.Reason)
		case v.Outcome == rollout.Pass && passed == 0:
			passed = at
		case v.Outcome != rollout.Pass && passed > 0:
			t.Errorf("after %v it does not pass any more: %+v", at, v)
		}
	}
	if passed < 10*time.Second || passed > 30*time.Second {
		t.Errorf("passed after %v", passed)
	}
}

func TestCompare_ARestartCountsNothingTwiceAndLosesNothing(t *testing.T) {
	s := start(t)
	s.install(traffic{bad: 0.005}, 5)
	now := begin.Add(40 * time.Second)
	first, err := look(t, comparing(s.URL), question(""), now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := look(t, comparing(s.URL), question(first.Memory), now)
	if err != nil {
		t.Fatal(err)
	}
	if first.Detail != again.Detail || first.Numbers["candidate_total"] < 900 || first.Numbers["candidate_total"] > 1200 {
		t.Errorf("%s, and after a restart %s", first.Detail, again.Detail)
	}
}

func TestCompare_ACounterThatBeginsAnewIsNotCountedBackwards(t *testing.T) {
	s := start(t)
	s.install(traffic{}, 1)
	s.series[`requests{pod=~"demo-aaa-.+"}`] = []series{{"restarts", 0, func(t time.Time) float64 {
		since := t.Sub(begin).Seconds()
		if since >= 20 {
			return 100 * (since - 20) // the process was started anew
		}
		return 5000 + 100*max(0, since)
	}}}
	v, err := look(t, comparing(s.URL), question(""), begin.Add(40*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if n := v.Numbers["stable_total"]; n < 3000 || n > 4000 {
		t.Errorf("stable had %g requests: %+v", n, v)
	}
}

func TestCompare_NoDataIsNoSuccess(t *testing.T) {
	s := start(t)
	for name, change := range map[string]func(){
		"Prometheus has no data of either version": func() { s.series = nil },
		"Prometheus has no data of the candidate":  func() { s.install(traffic{}, 1); delete(s.series, `requests{pod=~"demo-bbb-.+"}`) },
		"Prometheus has no data of stable":         func() { s.install(traffic{}, 1); delete(s.series, `requests{pod=~"demo-aaa-.+"}`) },
	} {
		change()
		v, err := look(t, comparing(s.URL), question(""), begin.Add(5*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if v.Outcome != rollout.Wait || v.Reason != name {
			t.Errorf("%s: %s: %s", name, v.Outcome, v.Reason)
		}
	}
}

func constant(name string, v float64) series {
	return series{name, 0, func(time.Time) float64 { return v }}
}

func TestQuery_IsHeldAgainstItsBounds(t *testing.T) {
	s := start(t)
	s.series = map[string][]series{
		"one": {constant("a", 1)}, "two": {constant("a", 1), constant("b", 5)}, "nan": {{"nan", 0, func(time.Time) float64 { return math.NaN() }}},
		`up{app="demo",v="2.0.0",h="bbb",s="1.0.0"}`: {constant("a", 0)},
		"rises": {{"a", 0, func(t time.Time) float64 { return t.Sub(begin).Seconds() }}},
	}
	for name, test := range map[string]struct {
		spec spec.Prometheus
		want rollout.Outcome
		text string
	}{
		"inside":         {spec.Prometheus{Query: "one", Max: new(1.0)}, rollout.Pass, "the value is at most 1"},
		"above":          {spec.Prometheus{Query: "one", Max: new(0.5)}, rollout.Fail, "the value is 1, not at most 0.5, in 1 looks in a row"},
		"below":          {spec.Prometheus{Query: "one", Min: new(2.0)}, rollout.Fail, "the value is 1, not at least 2, in 1 looks in a row"},
		"between":        {spec.Prometheus{Query: "one", Min: new(0.0), Max: new(2.0)}, rollout.Pass, "the value is from 0 to 2"},
		"worst of two":   {spec.Prometheus{Query: "two", Max: new(2.0)}, rollout.Fail, "the value is 5, not at most 2, in 1 looks in a row"},
		"no data":        {spec.Prometheus{Query: "none", Max: new(2.0)}, rollout.Wait, "Prometheus has no data for the query"},
		"not a number":   {spec.Prometheus{Query: "nan", Max: new(2.0)}, rollout.Wait, "Prometheus has no data for the query"},
		"placeholders":   {spec.Prometheus{Query: `up{app="{{app}}",v="{{ version }}",h="{{hash}}",s="{{stable.version}}"}`, Min: new(1.0)}, rollout.Fail, "the value is 0, not at least 1, in 1 looks in a row"},
		"range, inside":  {spec.Prometheus{Query: "rises", Over: 20 * time.Second, Max: new(60.0)}, rollout.Pass, "the value is at most 60"},
		"range, once up": {spec.Prometheus{Query: "rises", Over: 20 * time.Second, Min: new(45.0)}, rollout.Fail, "the value is 40, not at least 45, in 1 looks in a row"},
	} {
		test.spec.URL, test.spec.Failures = s.URL, 1
		v, err := look(t, test.spec, question(""), begin.Add(time.Minute))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if v.Outcome != test.want || v.Reason != test.text {
			t.Errorf("%s: %s: %s", name, v.Outcome, v.Reason)
		}
	}
}

func TestQuery_OneBadLookIsNone(t *testing.T) {
	s := start(t)
	s.series = map[string][]series{"q": {constant("a", 9)}}
	one := spec.Prometheus{URL: s.URL, Query: "q", Max: new(1.0), Failures: 3}
	memory := ""
	for n, want := range []rollout.Outcome{rollout.Wait, rollout.Wait, rollout.Fail} {
		// Each look is made by another controller: what was counted before is remembered.
		v, err := look(t, one, question(memory), begin)
		if err != nil {
			t.Fatal(err)
		}
		if v.Outcome != want {
			t.Errorf("look %d: %s: %s", n+1, v.Outcome, v.Reason)
		}
		memory = v.Memory
	}
}

func TestWatch_WhatCannotBeAskedIsAnError(t *testing.T) {
	s := start(t)
	s.fail = http.StatusBadRequest
	if _, err := look(t, comparing(s.URL), question(""), begin.Add(time.Minute)); err == nil || err.Error() != "prometheus says: parse error: unexpected end" {
		t.Error(err)
	}
	s.fail = http.StatusFound
	if _, err := look(t, comparing(s.URL), question(""), begin.Add(time.Minute)); err == nil {
		t.Error("a redirect is followed")
	}
	address := strings.TrimPrefix(s.URL, "http://")
	s.Close()
	if _, err := look(t, comparing(s.URL), question(""), begin.Add(time.Minute)); err == nil || err.Error() != "dial tcp "+address+": connect: connection refused" {
		t.Error(err)
	}
}
