package kittest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gapless.dev/kit"
	"gapless.dev/kit/kittest/faulty"
)

// The test binary is also the services that are judged: with this set it is
// the one of that name.
const serveEnv = "KITTEST_SERVE"

func TestMain(m *testing.M) {
	name := os.Getenv(serveEnv)
	if name == "swap" || name == "getonly" {
		swap(os.Getenv("PORT"), name == "swap")
		os.Exit(1)
	}
	if fault, err := faulty.Find(name); err == nil {
		os.Exit(fault.Serve())
	}
	os.Exit(m.Run())
}

// swap is a service that has changed one line. It takes POST, or does not know
// what that is.
func swap(port string, post bool) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", kit.Readyz)
	mux.HandleFunc("/healthz", kit.Livez)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && !post {
			http.Error(w, "what is that?", http.StatusNotImplemented)
			return
		}
		fmt.Fprintln(w, "hello")
	})
	fmt.Println(kit.ListenAndServe("127.0.0.1:"+port, mux))
}

// target is this binary as the service of that name, with nothing left to
// guess.
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
			Grace: 12 * time.Second, Drain: 1500 * time.Millisecond, Startup: 40 * time.Second,
			SlowPath: "/slow?for={duration}", SlowStart: []string{"SLOW_START=5s"}, DepsDown: []string{"DB=nowhere"},
			EventPath: "/events", SocketPath: "/socket", HTTP2: true, GRPC: true,
			DependPath: "/slow-db?for={duration}", CountPath: "/count",
			Version: "1.0.0", Edges: 2, Rate: 50, Brief: true,
		},
	}
}

func TestConform_AServiceWithKitKeepsEveryRule(t *testing.T) {
	t.Parallel()
	good := target(t, "good")
	good.Declared.Brief, good.Declared.Stops = false, 2
	judgedInTime(t, good, nil, func(j Judgement) (wrong []string) {
		for _, r := range j.Results {
			if r.Status != Pass {
				wrong = append(wrong, fmt.Sprintf("%s: %s: %s\n  %s", r.ID, r.Status, r.Why, strings.Join(r.Evidence, "\n  ")))
			}
		}
		return wrong
	})
}

func TestConform_TheSwapAloneKeepsEveryRule(t *testing.T) {
	t.Parallel()
	swap := target(t, "swap")
	swap.SamePort = true
	swap.Declared = Spec{ // as for a foreign service: slow uploads
		Grace: 9 * time.Second, Drain: 1500 * time.Millisecond, Startup: 40 * time.Second, Edges: 2, Rate: 50,
		ReadyPath: "/ready", LivePath: "/healthz", Version: "1.0.0",
	}
	Conform(t, swap)
}

// A service that takes no POST cannot be asked slowly by an upload, and breaks
// no rule by that.
func TestJudge_WithoutPostAnUploadSaysNothing(t *testing.T) {
	t.Parallel()
	getonly := target(t, "getonly")
	getonly.SamePort, getonly.Declared.SlowPath, getonly.Declared.HTTP2, getonly.Declared.GRPC = true, "", false, false
	getonly.Declared.EventPath, getonly.Declared.SocketPath, getonly.Declared.DependPath = "", "", ""
	getonly.Declared.ReadyPath, getonly.Declared.LivePath = "/ready", "/healthz"
	judgedInTime(t, getonly, []string{"Z9"}, func(j Judgement) (wrong []string) {
		if r := j.Results[len(j.Results)-1]; r.ID != "Z9" || r.Status != Skip || !strings.Contains(r.Why, "name a path that takes long") {
			wrong = append(wrong, fmt.Sprintf("%s: %s: %s\n  %s", r.ID, r.Status, r.Why, strings.Join(r.Evidence, "\n  ")))
		}
		return wrong
	})
}

// TestJudge_NamesTheFirstCause: for each rule there is a service that breaks
// it, and nothing that comes before it.
func TestJudge_NamesTheFirstCause(t *testing.T) {
	t.Parallel()
	var faults []faulty.Fault
	broken := make(map[string]bool)
	for _, f := range faulty.Faults() {
		if f.Rule != "" {
			faults = append(faults, f)
			broken[f.Rule] = true
		}
	}
	for _, rule := range Rules() {
		if !broken[rule.ID] {
			t.Errorf("there is no service that breaks %s", rule.ID)
		}
	}
	judgeAll(t, faults, func(f faulty.Fault, j Judgement) (wrong []string) {
		complain := func(format string, args ...any) { wrong = append(wrong, f.Name+": "+fmt.Sprintf(format, args...)) }
		var failed []string
		for _, r := range j.Results {
			if r.Status == Fail {
				failed = append(failed, r.ID)
				t.Logf("%s: %s: %s\n  %s", f.Name, r.ID, r.Why, strings.Join(r.Evidence, "\n  "))
			}
			if r.ID == f.Rule && len(r.Evidence) == 0 {
				complain("%s failed without evidence: %s", r.ID, r.Why)
			}
			blocked := strings.HasPrefix(r.Why, "blocked by ")
			rule := Rules()[slices.IndexFunc(Rules(), func(rule Rule) bool { return rule.ID == r.ID })]
			if slices.Contains(rule.Needs, f.Rule) && !blocked {
				complain("%s needs %s, and is not blocked: %s %q", r.ID, f.Rule, r.Status, r.Why)
			}
			if r.ID == "Z9" && blocked != (f.Rule == "Z1" || f.Rule == "Z3") {
				complain("Z9: %s %q", r.Status, r.Why)
			}
		}
		if cause, _ := j.Cause(); cause.ID != f.Rule {
			complain("cause %q of %v, want %s", cause.ID, failed, f.Rule)
		}
		if alone := strings.HasPrefix(f.Name, "z") && f.Name != "z5"; alone && len(failed) > 1 {
			complain("failed %v, and does only one thing wrong", failed)
		}
		return wrong
	})
}

func TestCause_AMustComesBeforeAShould(t *testing.T) {
	should, must := Result{ID: "Z17", Status: Fail}, Result{ID: "Z20", Must: true, Status: Fail}
	for _, test := range []struct {
		results []Result
		cause   string
		passed  bool
	}{
		{[]Result{should, must}, "Z20", false},
		{[]Result{should, {ID: "Z20", Must: true, Status: Pass}}, "Z17", true},
		{[]Result{{ID: "Z17", Status: Skip}}, "", true},
	} {
		j := Judgement{Results: test.results}
		if cause, failed := j.Cause(); cause.ID != test.cause || failed != (test.cause != "") || j.Passed() != test.passed {
			t.Errorf("%v: cause %q, passed %v", test.results, cause.ID, j.Passed())
		}
	}
}

// reported is an instance that has ended, and whose report is all that is known.
type reported struct {
	Instance
	report string
}

func (r reported) Report() []byte { return []byte(r.report) }
func (r reported) Lines() []Line  { return nil }

// Who gives no report is not said to have counted.
func TestOver_OnlyAReportSaysThatItWasCounted(t *testing.T) {
	now := time.Now()
	for report, want := range map[string]Status{
		"": Skip,
		`{"reason":"SIGTERM","cut":{"requests":0}}`: Fail,
		`{"reason":"SIGTERM","cut":{"requests":1}}`: Pass,
	} {
		cut := slowRequest{began: now, ended: now.Add(10 * time.Second), err: errGoAway}
		r := judgeOver(&Session{}, reported{report: report}, Exit{At: now.Add(10 * time.Second)}, now.Add(time.Second), cut)
		if r.Status != want {
			t.Errorf("report %q: %s: %s", report, r.Status, r.Why)
		}
	}
}

// judgeAll judges several services at a time, whatever the number of CPUs:
// most of the time they wait. each says what is wrong with a judgement.
func judgeAll(t *testing.T, faults []faulty.Fault, each func(faulty.Fault, Judgement) []string) {
	t.Helper()
	var mu sync.Mutex
	var judging sync.WaitGroup
	places := make(chan struct{}, 8)
	for _, fault := range faults {
		judging.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			var only []string
			if fault.Rule != "Z10" { // which costs more than all others
				for _, rule := range slices.DeleteFunc(Rules(), func(r Rule) bool { return r.ID == "Z10" }) {
					only = append(only, rule.ID)
				}
			}
			judgedInTime(t, target(t, fault.Name), only, func(j Judgement) []string {
				mu.Lock()
				defer mu.Unlock()
				return each(fault, j)
			})
		})
	}
	judging.Wait()
}

// judgedInTime judges, and fails the test for what is wrong with the judgement.
// A machine that was too late itself says little of moments: then the target
// is judged again with a drain twice as long, of which a moment is less.
func judgedInTime(t *testing.T, target *Command, only []string, wrong func(Judgement) []string) {
	t.Helper()
	for {
		j := judged(t, target, only...)
		said := wrong(j)
		spec := &target.Declared
		if len(said) == 0 || j.Late <= spec.Drain/8 || spec.Drain > 10*time.Second {
			for _, what := range said {
				t.Errorf("%s (this machine was up to %v late)", what, j.Late.Round(time.Millisecond))
			}
			return
		}
		t.Logf("this machine was up to %v late: once more; %s", j.Late.Round(time.Millisecond), strings.Join(said, "; "))
		spec.Grace += spec.Drain
		spec.Drain *= 2
	}
}

func judged(t *testing.T, target *Command, only ...string) Judgement {
	t.Helper()
	if err := target.Declared.Validate(); err != nil {
		t.Fatal(err)
	}
	return Judge(t.Context(), target, Watch{}, only...)
}

func TestJudge_CountsWhatAStopCosts(t *testing.T) {
	t.Parallel()
	judgedInTime(t, target(t, "talk"), []string{"Z5"}, func(j Judgement) (wrong []string) {
		cause, failed := j.Cause()
		if !failed || cause.ID != "Z5" || j.Traffic.Lost == 0 || j.Traffic.Requests < j.Traffic.Lost || j.Traffic.Stops != 1 || j.Start <= 0 {
			wrong = append(wrong, fmt.Sprintf("cause %q, %+v, start %v", cause.ID, j.Traffic, j.Start))
		}
		text := story(j.Timeline)
		for _, want := range []string{"started", "ready", "SIGTERM", "not ready any more", "nobody accepts connections any more", "first request lost: refused: our SYN was answered by RST"} {
			if !strings.Contains(text, want) {
				wrong = append(wrong, fmt.Sprintf("the timeline does not say %q:\n%s", want, text))
			}
		}
		if !slices.IsSortedFunc(j.Timeline, func(a, b Event) int { return int(a.At - b.At) }) {
			wrong = append(wrong, "not in the order of time:\n"+text)
		}
		return wrong
	})
}

func TestJudge_RunsOnlyWhatWasAskedForAndWhatItNeeds(t *testing.T) {
	t.Parallel()
	var ids []string
	Judge(t.Context(), target(t, "good"), Watch{Result: func(r Result) { ids = append(ids, r.ID) }}, "Z14")
	if got := strings.Join(ids, " "); got != "Z3 Z1 Z14" {
		t.Errorf("judged %q", got)
	}
}

func TestJudge_CancelledLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watched := &watched{Target: target(t, "good")}
	j := Judge(ctx, watched, Watch{Doing: func(what string) {
		if strings.Contains(what, "SIGTERM") {
			cancel()
		}
	}})
	for _, r := range j.Results {
		if r.Status != Skip {
			t.Errorf("%s: %s: %s", r.ID, r.Status, r.Why)
		}
	}
	if len(watched.started) != 1 {
		t.Errorf("%d instances", len(watched.started))
	}
	for _, in := range watched.started {
		if left := in.Orphans(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// watched is a target that remembers what it started.
type watched struct {
	Target
	started []Instance
}

// Start starts and remembers.
func (w *watched) Start(ctx context.Context, env ...string) (Instance, error) {
	in, err := w.Target.Start(ctx, env...)
	if err == nil {
		w.started = append(w.started, in)
	}
	return in, err
}

func TestJudge_WhatDoesNotStartSaysWhy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		target Command
		says   string
	}{
		{Command{Path: "/nowhere/at-all"}, "/nowhere/at-all"},
		{Command{Path: "sh", Args: []string{"-c", "echo no database; exit 4"}}, "exited with 4 before it was ready; it said:\n  no database"},
		{Command{Path: "sleep", Args: []string{"60"}, Declared: Spec{Startup: time.Second}}, "not ready after 1s: GET http://127.0.0.1:"},
	} {
		j := Judge(t.Context(), &test.target, Watch{})
		if cause, _ := j.Cause(); cause.ID != "Z3" || !strings.Contains(cause.Why, test.says) {
			t.Errorf("%+v, want Z3 to say %q", cause, test.says)
		}
		for _, r := range j.Results[1:] {
			if r.Status != Skip || r.Why != "blocked by Z3" {
				t.Errorf("%s: %s: %s", r.ID, r.Status, r.Why)
			}
		}
	}
}

func TestSpec_RefusesABudgetThatDoesNotFit(t *testing.T) {
	for _, test := range []struct {
		spec Spec
		says string
	}{
		{Spec{}, ""},
		{Spec{Drain: 10 * time.Second, PreStop: 10 * time.Second}, ""},
		{Spec{Grace: 5 * time.Second}, "give at least 11s"},
		{Spec{Drain: -time.Second}, "cannot be negative"},
		{Spec{Readiness: "Sometimes"}, "give Flip or ServeTerminating"},
		{Spec{Rate: -1}, "above 0"},
		{Spec{Edges: 5000}, "give 1 to 1000"},
	} {
		err := test.spec.Validate()
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: %v, want %q", test.spec, err, test.says)
		}
	}
}

func TestRules_AreWholeAndInAnOrderThatCanBeJudged(t *testing.T) {
	seen := make(map[string]bool)
	for _, rule := range Rules() {
		if rule.ID == "" || rule.Title == "" || rule.Why == "" || rule.Fix == "" || rule.How == "" || rule.Run == nil || seen[rule.ID] {
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

func TestIdle_ClosedByAgeIsNotClosedByTheStop(t *testing.T) {
	start := time.Now()
	at := func(opened, closed time.Duration) idleConn {
		return idleConn{opened: start.Add(opened), closed: start.Add(closed)}
	}
	if age, yes := byAge([]idleConn{at(0, 5*time.Second), at(0, 5*time.Second), at(time.Second, 6*time.Second)}); !yes || age != 5*time.Second {
		t.Errorf("each five seconds old: %v %v", age, yes)
	}
	if _, yes := byAge([]idleConn{at(0, 3*time.Second), at(0, 3*time.Second), at(time.Second, 3*time.Second)}); yes {
		t.Error("all in one moment: taken for their age")
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

// The goodbye of HTTP/2 is judged from half the drain on, later by what this
// machine was late, and has to come.
func TestZ8_OverHTTP2IsJudgedAsLateAsTheMachineWas(t *testing.T) {
	spec := Spec{Drain: 4 * time.Second}
	stopped := time.Now()
	e := &episode{stopped: stopped, slack: time.Second}
	at := func(after time.Duration, announced bool) reply {
		return reply{at: stopped.Add(after), announced: announced}
	}
	for _, test := range []struct {
		name   string
		goAway []reply
		want   bool
	}{
		{"is not spoken", nil, true},
		{"came at once", []reply{at(2300*time.Millisecond, true)}, true},
		{"came with the second answer, within what we were late", []reply{at(2300*time.Millisecond, false), at(2500*time.Millisecond, true)}, true},
		{"came too late", []reply{at(2300*time.Millisecond, false), at(3100*time.Millisecond, false), at(3300*time.Millisecond, true)}, false},
		{"never came", []reply{at(2300*time.Millisecond, false)}, false},
		{"the connection broke", []reply{{at: stopped.Add(2300 * time.Millisecond), err: io.EOF}}, false},
	} {
		e.goAway = test.goAway
		if why := e.silentOverHTTP2(spec); (why == "") != test.want {
			t.Errorf("%s: %q", test.name, why)
		}
	}
}
