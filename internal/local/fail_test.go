package local

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/kit/load"
)

func over(outcome report.Outcome) func(report.Report) bool {
	return func(r report.Report) bool { return r.Revision > 1 && r.Over() && r.Outcome == outcome }
}

func TestCandidate_ThatDoesNotComeUpIsAbortedAndStableNotTouched(t *testing.T) {
	for _, c := range []struct {
		how, failure, log string
	}{
		{"exits@2.0.0", "exited with code 3", "the database schema is unknown"},
		{"unready@2.0.0", "GET /ready answered 500", "not ready: model missing"},
		{"silent@2.0.0", "connection refused", "waiting for the migrations"},
	} {
		t.Run(c.how, func(t *testing.T) {
			t.Parallel() // it is mostly waiting
			plan := canary
			plan.Deadline = 8 * time.Second
			h := up(t, Options{File: app.File{Apps: []app.App{testApp(t, c.how, plan)}}})
			before := pids(h.until("stable serves", serving("1.0.0", 2)), "1.0.0")
			l := loadOn(t, h.url("/"), 60)
			if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
				t.Fatal(err)
			}
			failing := h.until("it fails", func(r report.Report) bool { return len(r.Versions) == 2 && r.Versions[1].Failure != "" })
			if !strings.Contains(failing.Versions[1].Failure, c.failure) {
				t.Errorf("failure %q", failing.Versions[1].Failure)
			}
			if strings.HasPrefix(c.how, "exits") && failing.Versions[1].Instances[0].State != "CrashLoop" {
				t.Errorf("instance %+v", failing.Versions[1].Instances[0])
			}
			r := h.until("it is aborted", over(report.Aborted))
			l.none(t)
			if !slices.Contains(r.Logs, c.log) || len(r.Logs) != 20 {
				t.Errorf("log lines %q", r.Logs)
			}
			if r.Reason != rollout.ReasonAborted || !strings.Contains(r.Message, "8s") {
				t.Errorf("aborted for %s: %s", r.Reason, r.Message)
			}
			if after := pids(h.until("stable serves", serving("1.0.0", 2)), "1.0.0"); !slices.Equal(before, after) {
				t.Errorf("stable ran as %v, now as %v", before, after)
			}
			if l.by["2.0.0"] != 0 {
				t.Errorf("the candidate answered: %v", l.by)
			}
			// The same again is held, and a retry tries it.
			if r, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil || r.Phase != string(rollout.Held) {
				t.Errorf("deployed again: %s, %v", r.Phase, err)
			}
		})
	}
}

func TestCandidate_ThatDiesWithWeightLosesItAtOnce(t *testing.T) {
	plan := rollout.Plan{Strategy: rollout.Canary, Steps: []rollout.Step{
		{Weight: 25, Match: &rollout.Match{Header: map[string]string{"X-Try": "yes"}}, Manual: true},
	}}
	h := up(t, Options{File: app.File{Apps: []app.App{testApp(t, "naive", plan)}}})
	h.until("stable serves", serving("1.0.0", 2))
	shared := loadOn(t, h.url("/"), 60)
	h.deploy("2.0.0")
	r := h.until("25 % stand", awaiting)
	// All of these are the candidate's while it is in rotation, so that none misses that it still is.
	matched := loadWith(t, load.Options{URL: h.url("/"), Rate: 60, New: 0.5, Header: http.Header{"X-Try": {"yes"}}})
	shared.sees(t, "2.0.0")
	matched.sees(t, "2.0.0")
	// These two are the candidate's for sure, and no proxy may send them again.
	slow := make(chan int, 2)
	for range 2 {
		go func() {
			req, err := http.NewRequest(http.MethodPost, h.url("/slow?for=1m"), nil)
			if err != nil {
				panic(err)
			}
			req.Header.Set("X-Try", "yes")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				slow <- 0
				return
			}
			res.Body.Close()
			slow <- res.StatusCode
		}()
	}
	candidate := "http://" + r.Versions[1].Instances[0].Address
	for textOf(t, candidate+"/slows") != "2" {
	}
	// It is asked to die directly, so that the load loses only what was on it.
	killed := time.Now()
	res, err := http.Get(candidate + "/die")
	if err == nil {
		res.Body.Close()
	}
	seen := h.until("its death is noticed", func(r report.Report) bool {
		return r.Over() || slices.ContainsFunc(r.Versions, func(v report.Version) bool {
			return v.Name == "2.0.0" && (len(v.Instances) == 0 || v.Instances[0].State == string(crashLoop))
		})
	})
	noticed := time.Now()
	weightless := seen.Weight == 0
	h.until("it is aborted", func(r report.Report) bool {
		if weightless && r.Weight > 0 {
			t.Errorf("the candidate has weight %d again", r.Weight)
		}
		weightless = weightless || r.Weight == 0
		return over(report.Aborted)(r)
	})
	late, all, lost := int64(0), 0, 0
	for _, l := range []*loader{shared, matched} {
		l.since(t, noticed)
		l.stop()
		all, lost = all+l.all, lost+len(l.lost)
		for _, r := range l.over {
			switch {
			case r.Started.After(noticed) && (r.Class.Lost() || r.Version != "1.0.0"):
				t.Errorf("sent to the candidate after its death was noticed: %+v", r)
			case !r.Started.After(noticed) && r.Ended.After(noticed):
				late++
			}
		}
		for _, r := range l.lost {
			if r.Status != 502 || r.Ended.Before(killed) {
				t.Errorf("lost other than in flight on the candidate: %+v", r)
			}
		}
	}
	for range cap(slow) {
		if code := <-slow; code != 502 {
			t.Errorf("a request on the candidate that died got %d", code)
		}
	}
	r, err = h.c.Status(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	if r.Weight != 0 {
		t.Errorf("the candidate has weight %d", r.Weight)
	}
	// A dead process refuses, and who is refused is answered by stable: that is no loss, but it was sent there.
	if n := countsOf(r, "2.0.0").Retried - countsOf(seen, "2.0.0").Retried; n > late {
		t.Errorf("%d requests were tried on the candidate after its death was noticed, %d had begun before", n, late)
	}
	var errs int64
	for _, v := range r.Versions {
		if v.Counts != nil {
			errs += v.Counts.Errors
			if v.Name == "1.0.0" && v.Counts.Errors != 0 {
				t.Errorf("stable lost %d", v.Counts.Errors)
			}
		}
	}
	if errs != int64(lost+cap(slow)) {
		t.Errorf("the report says %d errors, %d were lost", errs, lost+cap(slow))
	}
	t.Logf("%d of %d lost: what was in flight on the candidate when it died", lost+cap(slow), all+cap(slow))
	if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "requests that were on 2.0.0 were not answered") }) {
		t.Errorf("notes %q", r.Notes)
	}
}

func TestCandidate_OfWhichOneDiesGetsNothingThereOnceThatIsNoticed(t *testing.T) {
	a := testApp(t, "naive", rollout.Plan{Strategy: rollout.Canary, Steps: []rollout.Step{
		{Weight: 50, Match: &rollout.Match{Header: map[string]string{"X-Try": "yes"}}, Manual: true},
	}})
	gate := filepath.Join(t.TempDir(), "gate")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a.Replicas, a.Env[gateOf], a.Env[gatedOf] = 4, gate, "demo-2.0.0"
	h := up(t, Options{File: app.File{Apps: []app.App{a}}})
	h.until("stable serves", serving("1.0.0", 4))
	h.deploy("2.0.0")
	r := h.until("50 % stand", awaiting)
	if len(readyPids(r, "2.0.0")) != 2 {
		t.Fatalf("the candidate is not two: %+v", r.Versions)
	}
	if err := os.Remove(gate); err != nil { // what is started again does not get ready
		t.Fatal(err)
	}
	if res, err := http.Get("http://" + r.Versions[1].Instances[0].Address + "/die"); err == nil {
		res.Body.Close()
	}
	seen := h.until("its death is noticed", func(r report.Report) bool { return r.Versions[1].Instances[0].State == string(crashLoop) })
	for range 40 {
		req, err := http.NewRequest(http.MethodGet, h.url("/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Try", "yes")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if v := res.Header.Get("Gapless-Version"); res.StatusCode != 200 || v != "2.0.0" {
			t.Errorf("%q answered %d", v, res.StatusCode)
		}
	}
	r = h.until("all are counted, and it has the share that one can carry", func(r report.Report) bool {
		return requests(r)-requests(seen) >= 40 && r.Weight == 25
	})
	was, is := countsOf(seen, "2.0.0"), countsOf(r, "2.0.0")
	if is.Retried != was.Retried || is.Errors != 0 || is.Requests-was.Requests != 40 {
		t.Errorf("counted %+v, were %+v", is, was)
	}
}

func countsOf(r report.Report, version string) report.Counts {
	for _, v := range r.Versions {
		if v.Name == version && v.Counts != nil {
			return *v.Counts
		}
	}
	return report.Counts{}
}

func textOf(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStop_KillsADeafServiceAndWhatItForked(t *testing.T) {
	for _, how := range []string{"deaf", "forks"} {
		t.Run(how, func(t *testing.T) {
			a := testApp(t, how, rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
			a.Replicas, a.Stop.Grace = 1, 200*time.Millisecond
			dir := t.TempDir()
			h := up(t, Options{StateDir: dir, File: app.File{Apps: []app.App{a}}})
			r := h.until("it serves", serving("1.0.0", 1))
			log, err := os.ReadFile(dir + "/apps/demo/logs/demo-1.0.0-1.log")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
				t.Fatal(err)
			}
			next := h.until("2.0.0 serves", serving("2.0.0", 1))
			old := pids(r, "1.0.0")
			for line := range strings.Lines(string(log)) {
				var child int
				if n, _ := fmt.Sscanf(line, "child %d", &child); n == 1 {
					old = append(old, child)
				}
			}
			if how == "forks" && len(old) != 2 {
				t.Fatalf("processes %v, log %s", old, log)
			}
			for _, pid := range old {
				if identify(pid).alive() {
					t.Errorf("process %d runs on", pid)
				}
			}
			if killed := slices.ContainsFunc(next.Notes, func(n string) bool { return strings.Contains(n, "SIGKILL") }); killed != (how == "deaf") {
				t.Errorf("notes %q", next.Notes)
			}
		})
	}
}

func TestStop_WaitsForTheLastAnswer(t *testing.T) {
	a := testApp(t, "naive", rollout.Plan{Strategy: rollout.BlueGreen})
	a.Replicas = 1
	h := up(t, Options{File: app.File{Apps: []app.App{a}}})
	h.until("it serves", serving("1.0.0", 1))
	answer := make(chan string)
	go func() {
		res, err := http.Get(h.url("/slow?for=2s"))
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		answer <- fmt.Sprintf("%s %v", b, err)
	}()
	h.until("the request is on it", func(r report.Report) bool { return r.Versions[0].InFlight == 1 })
	if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
		t.Fatal(err)
	}
	h.until("2.0.0 serves", serving("2.0.0", 1))
	if got := <-answer; !strings.HasPrefix(got, "1.0.0 ") || !strings.HasSuffix(got, "<nil>") {
		t.Errorf("answer %q", got)
	}
}

func TestUp_RefusesWhatCannotBeServedAndStartsNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	good := testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
	for _, c := range []struct {
		name, want string
		change     func(*app.App)
	}{
		{"port taken", "apps.demo.ports.http: cannot listen on port", func(a *app.App) {
			a.Ports = []app.Port{{Name: "http", Public: taken.Addr().(*net.TCPAddr).Port}}
		}},
		{"command missing", "apps.demo.command: there is no command", func(a *app.App) { a.Command = []string{"./nothing-{version}"} }},
		{"folder missing", "apps.demo.dir: there is no folder", func(a *app.App) { a.Dir = "/nowhere" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := good
			c.change(&a)
			dir := t.TempDir()
			_, err := tryUp(t, Options{StateDir: dir, File: app.File{Apps: []app.App{a}}})
			if err == nil || CodeOf(err) != Refused || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
			if files, _ := os.ReadDir(dir + "/apps/demo/logs"); len(files) > 0 {
				t.Errorf("something was started: %v", files)
			}
		})
	}
	dir := t.TempDir()
	up(t, Options{StateDir: dir, File: app.File{Apps: []app.App{good}}})
	if _, err := tryUp(t, Options{StateDir: dir, File: app.File{Apps: []app.App{good}}}); CodeOf(err) != Refused || !strings.Contains(err.Error(), "another gapless") {
		t.Errorf("a second gapless: %v", err)
	}
}

func TestSocket_IsTheOwnersOnly(t *testing.T) {
	dir := t.TempDir()
	h := up(t, Options{StateDir: dir, File: app.File{Apps: []app.App{testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})}}})
	for path, want := range map[string]os.FileMode{SocketOf(dir): 0o600, dir + "/run": 0o700, dir: 0o700, dir + "/apps/demo/state.json": 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want %v", path, info.Mode(), err, want)
		}
	}
	if p, err := h.c.Ping(t.Context()); err != nil || p.Pid != os.Getpid() || !slices.Equal(p.Apps, []string{"demo"}) {
		t.Errorf("ping %+v %v", p, err)
	}
	if _, err := h.c.Status(t.Context(), "other"); CodeOf(err) != NotFound {
		t.Errorf("an app that is not there: %v", err)
	}
	h.stop()
	if _, err := h.c.Ping(t.Context()); CodeOf(err) != Unreachable {
		t.Errorf("ping of nobody: %v", err)
	}
}

func TestOrders_AreAnswered(t *testing.T) {
	plan := rollout.Plan{Strategy: rollout.Canary, Steps: []rollout.Step{{Weight: 25, Manual: true}}}
	h := up(t, Options{File: app.File{Apps: []app.App{testApp(t, "naive", plan)}}})
	h.until("stable serves", serving("1.0.0", 2))
	if _, err := h.c.Order(t.Context(), "demo", rollout.Promote); CodeOf(err) != Conflict {
		t.Errorf("promote at rest: %v", err)
	}
	if _, err := h.c.Order(t.Context(), "demo", "explode"); CodeOf(err) != Bad {
		t.Errorf("no order: %v", err)
	}
	if p, err := h.c.Plan(t.Context(), "demo", "2.0.0"); err != nil || len(p.Steps) != 3 || p.Steps[0].Weight != 25 || p.Problem != "" {
		t.Errorf("plan %+v %v", p, err)
	}
	if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
		t.Fatal(err)
	}
	h.until("25 % stand", func(r report.Report) bool { return r.Reason == rollout.ReasonAwaitingPromote })
	if _, err := h.c.Order(t.Context(), "demo", rollout.Promote); err != nil {
		t.Error(err)
	}
	r := h.until("2.0.0 serves", serving("2.0.0", 2))
	if !slices.ContainsFunc(r.Decisions, func(e report.Entry) bool { return e.By != "" && strings.HasPrefix(e.Message, "promote") }) {
		t.Errorf("nobody promoted in %+v", r.Decisions)
	}
	if _, err := h.c.Order(t.Context(), "demo", rollout.Undo); err != nil {
		t.Error(err)
	}
	h.until("25 % stand", func(r report.Report) bool { return r.Reason == rollout.ReasonAwaitingPromote })
	if _, err := h.c.Order(t.Context(), "demo", rollout.PromoteFull); err != nil {
		t.Error(err)
	}
	h.until("1.0.0 serves", serving("1.0.0", 2))
	if _, err := h.c.Scale(t.Context(), "demo", 4); err != nil {
		t.Error(err)
	}
	h.until("four serve", serving("1.0.0", 4))
	if _, err := h.c.Scale(t.Context(), "demo", 1); err != nil {
		t.Error(err)
	}
	h.until("one serves", serving("1.0.0", 1))
	all, err := h.c.History(t.Context(), "demo")
	if err != nil || len(all) != 3 || all[0].Revision != 3 || all[1].Outcome != report.Promoted || all[1].To != "2.0.0" {
		t.Errorf("history %+v %v", all, err)
	}
	if r, err := h.c.Report(t.Context(), "demo", 2); err != nil || r.To != "2.0.0" {
		t.Errorf("report %+v %v", r, err)
	}
	if _, err := h.c.Report(t.Context(), "demo", 9); CodeOf(err) != NotFound {
		t.Errorf("report of no revision: %v", err)
	}
}
