package local

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

func TestProber_KeepsTheThresholds(t *testing.T) {
	p := newProber(app.Check{Path: "/", FailureThreshold: 3, SuccessThreshold: 2}, "", nil, time.Now())
	bad := fmt.Errorf("no")
	for n, step := range []struct {
		answer error
		well   bool
	}{{nil, false}, {nil, true}, {bad, true}, {bad, true}, {nil, true}, {bad, true}, {bad, true}, {bad, false}, {nil, false}, {nil, true}} {
		if p.note(step.answer); p.well != step.well {
			t.Errorf("after answer %d it is well: %v", n, p.well)
		}
	}
}

func TestProber_AsksOverHTTPTCPAndByCommand(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/hang":
			<-r.Context().Done()
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/nowhere", http.StatusFound)
		case r.Header.Get("X-Key") != "k" || r.Host != "api.example.com":
			w.WriteHeader(404)
		}
	}))
	defer s.Close()
	exec := func() command {
		return command{dir: t.TempDir(), env: []string{"WORD=yes", "PATH=" + os.Getenv("PATH")}}
	}
	headers := map[string]string{"X-Key": "k", "host": "api.example.com"}
	for _, c := range []struct {
		name  string
		check app.Check
		addr  string
		want  string // part of the error; "" is well
	}{
		{"200", app.Check{Path: "/", Headers: headers}, "", ""},
		{"404", app.Check{Path: "/"}, "", "GET / answered 404"},
		{"a redirect is an answer", app.Check{Path: "/moved"}, "", ""},
		{"hangs", app.Check{Path: "/hang", Timeout: 50 * time.Millisecond}, "", "deadline exceeded"},
		{"tcp", app.Check{TCP: true}, "", ""},
		{"tcp refused", app.Check{TCP: true}, "127.0.0.1:1", "refused"},
		{"exec", app.Check{Exec: []string{"sh", "-c", "test $WORD = yes"}}, "", ""},
		{"exec fails", app.Check{Exec: []string{"sh", "-c", "echo no such table; exit 2"}}, "", "no such table"},
		{"exec hangs", app.Check{Exec: []string{"sh", "-c", "sleep 100"}, Timeout: 50 * time.Millisecond}, "", "did not end within"},
	} {
		addr := c.addr
		if addr == "" {
			addr = s.Listener.Addr().String()
		}
		run := exec()
		run.argv = c.check.Exec
		err := newProber(c.check, addr, func() command { return run }, time.Now()).once(t.Context())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestReadiness_TakesAnInstanceOutAndInAgain(t *testing.T) {
	dir := t.TempDir()
	a := testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
	a.Health.Ready = app.Check{Exec: []string{"sh", "-c", "test ! -e " + dir + "/sick-$GAPLESS_INSTANCE"}, Period: 20 * time.Millisecond, Timeout: 10 * time.Second, FailureThreshold: 2, SuccessThreshold: 1}
	h := up(t, Options{File: app.File{Apps: []app.App{a}}})
	two := h.until("two serve", serving("1.0.0", 2))
	before := pids(two, "1.0.0")
	for _, i := range two.Versions[0].Instances { // the check does not wait until they listen
		for res, err := http.Get("http://" + i.Address); ; res, err = http.Get("http://" + i.Address) {
			if err == nil {
				res.Body.Close()
				break
			}
		}
	}
	sick := filepath.Join(dir, "sick-demo-1.0.0-2")
	if err := os.WriteFile(sick, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.until("one is out", func(r report.Report) bool {
		return len(r.Versions) == 1 && r.Versions[0].Ready == 1 && r.Versions[0].Instances[1].State == "NotReady"
	})
	for range 10 {
		if code := status(t, h.url("/")); code != 200 {
			t.Errorf("status %d", code)
		}
	}
	if err := os.Remove(sick); err != nil {
		t.Fatal(err)
	}
	if after := pids(h.until("two serve again", serving("1.0.0", 2)), "1.0.0"); !slices.Equal(before, after) {
		t.Errorf("a process was restarted for its readiness: %v, %v", before, after)
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func TestLiveness_RestartsAndShowsCrashLoop(t *testing.T) {
	dir := t.TempDir()
	a := testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
	a.Replicas = 1
	a.Health.Live = app.Check{Exec: []string{"sh", "-c", "test ! -e " + dir + "/dead"}, Period: 20 * time.Millisecond, Timeout: 10 * time.Second, FailureThreshold: 2, SuccessThreshold: 1}
	h := up(t, Options{File: app.File{Apps: []app.App{a}}})
	before := pids(h.until("it serves", serving("1.0.0", 1)), "1.0.0")
	if err := os.WriteFile(dir+"/dead", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := h.until("it is restarted", func(r report.Report) bool {
		return len(r.Versions) == 1 && len(r.Versions[0].Instances) == 1 && r.Versions[0].Instances[0].State == "CrashLoop"
	})
	if i := r.Versions[0].Instances[0]; i.Restarts == 0 || !strings.Contains(i.Message, "liveness checks in a row failed") {
		t.Errorf("instance %+v", i)
	}
	if err := os.Remove(dir + "/dead"); err != nil {
		t.Fatal(err)
	}
	if after := pids(h.until("it serves again", serving("1.0.0", 1)), "1.0.0"); slices.Equal(before, after) {
		t.Errorf("the same process: %v", after)
	}
}

func TestHelpers_StartBeforeAndStopAfter(t *testing.T) {
	dir := t.TempDir()
	journal := filepath.Join(dir, "journal")
	helper := func(name string) app.Helper {
		return app.Helper{
			Name: name, Env: map[string]string{"NAME": name, actAs: ""},
			Command: []string{"sh", "-c", "trap 'echo $NAME stops >> " + journal + "; exit 0' TERM; echo $NAME starts >> " + journal + "; while :; do sleep 0.02; done"},
			Ready:   app.Check{Exec: []string{"grep", name + " starts", journal}, Period: 20 * time.Millisecond, Timeout: 10 * time.Second},
		}
	}
	a := testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
	a.Replicas, a.Env[actAs] = 1, ""
	a.Command = []string{"sh", "-c", "trap 'echo main stops >> " + journal + "; exit 0' TERM; echo main starts >> " + journal + "; while :; do sleep 0.02; done"}
	a.Health.Ready = app.Check{Exec: []string{"grep", "main starts", journal}, Period: 20 * time.Millisecond, Timeout: 10 * time.Second}
	a.Helpers = []app.Helper{helper("one"), helper("two")}
	h := up(t, Options{File: app.File{Apps: []app.App{a}}})
	h.until("it serves", serving("1.0.0", 1))
	h.stop()
	b, err := os.ReadFile(journal)
	if want := "one starts\ntwo starts\nmain starts\nmain stops\ntwo stops\none stops\n"; err != nil || string(b) != want {
		t.Errorf("%v: %q, want %q", err, b, want)
	}
}

func TestLogs_GoToFilesAndWithAPrefixToTheOutput(t *testing.T) {
	dir := t.TempDir()
	var out lines
	a := testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
	a.Replicas = 1
	h := up(t, Options{StateDir: dir, Output: &out, File: app.File{Apps: []app.App{a}}})
	h.until("it serves", serving("1.0.0", 1))
	h.stop()
	if !strings.Contains(out.String(), "demo-1.0.0-1 | starting naive 1.0.0\n") {
		t.Errorf("output %q", out.String())
	}
	if b, err := os.ReadFile(dir + "/apps/demo/logs/demo-1.0.0-1.log"); err != nil || !strings.HasPrefix(string(b), "starting naive 1.0.0\n") {
		t.Errorf("log %q %v", b, err)
	}
}

type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestLogs_AreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // as the service has it open
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	f := &logFile{}
	line := strings.Repeat("x", 1023) + "\n"
	for range 3 * logMax / 1024 {
		if _, err := out.WriteString(line); err != nil {
			t.Fatal(err)
		}
		rotate(path, f)
	}
	for _, name := range []string{path, path + ".1"} {
		if info, err := os.Stat(name); err != nil || info.Size() > logMax+1024 {
			t.Errorf("%s: %v %v", name, info.Size(), err)
		}
	}
	if n := len(lastLines(path, 20)); n != 20 {
		t.Errorf("%d last lines", n)
	}
}

func TestStore_LeavesTheOldValueOrTheNew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.json")
	var got map[string]int
	if err := read(file, &got); err != nil || got != nil {
		t.Errorf("of nothing: %v %v", got, err)
	}
	if err := write(file, map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	if err := write(file, func() {}); err == nil {
		t.Error("a function was written")
	}
	if err := read(file, &got); err != nil || got["a"] != 1 {
		t.Errorf("%v %v", got, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(left) != 1 {
		t.Errorf("files %v", left)
	}
}

func TestStrays_AreEndedWhenTheyWereNeverWrittenDown(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p, err := start(command{
		argv: []string{"sleep", "1000"}, log: filepath.Join(dir, "log"),
		env: append(os.Environ(), markState+"="+dir, markInstance+"=demo-1.0.0-1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if strays(dir) == nil {
		t.Skip("the environment of other processes cannot be read here")
	}
	up(t, Options{StateDir: dir, File: app.File{Apps: []app.App{testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})}}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
		t.Error("it runs on")
	}
}

func TestInitialDelay_HoldsTheFirstCheckBack(t *testing.T) {
	dir := t.TempDir()
	const delay = 300 * time.Millisecond
	asked := func(name string) app.Check { // the file has the time of the first question
		return app.Check{
			Exec: []string{"sh", "-c", "test -e " + dir + "/" + name + " || : > " + dir + "/" + name}, InitialDelay: delay,
			Period: 20 * time.Millisecond, Timeout: 10 * time.Second, FailureThreshold: 1, SuccessThreshold: 1,
		}
	}
	a := testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
	a.Replicas, a.Health.Ready, a.Health.Live = 1, asked("ready"), asked("live")
	h := up(t, Options{File: app.File{Apps: []app.App{a}}})
	since := h.until("it serves", serving("1.0.0", 1)).Versions[0].Instances[0].Since
	first := func(name string) (at time.Time) {
		h.until(name+" was asked", func(report.Report) bool {
			info, err := os.Stat(filepath.Join(dir, name))
			if err == nil {
				at = info.ModTime()
			}
			return err == nil
		})
		return at
	}
	const clock = 20 * time.Millisecond // a file's time comes from a coarse one
	ready, live := first("ready"), first("live")
	if ready.Before(since.Add(delay - clock)) {
		t.Errorf("asked whether it is ready %v after its start", ready.Sub(since))
	}
	if live.Before(ready.Add(delay - clock)) {
		t.Errorf("asked whether it lives %v after it was ready", live.Sub(ready))
	}
}

func TestInitialDelay_ThatIsLongerThanTheStartupIsNamed(t *testing.T) {
	a := testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
	a.Replicas, a.Health.Ready.InitialDelay, a.Health.Startup = 1, time.Hour, 50*time.Millisecond
	h := up(t, Options{File: app.File{Apps: []app.App{a}}})
	r := h.until("it is given up", func(r report.Report) bool {
		return len(r.Versions) == 1 && len(r.Versions[0].Instances) == 1 && r.Versions[0].Instances[0].State == "CrashLoop"
	})
	if why := r.Versions[0].Instances[0].Message; !strings.Contains(why, "health.ready.initialDelay") {
		t.Errorf("it says %q", why)
	}
}

func TestPause_DoublesToItsCapAndIsForgottenAfterASteadyRun(t *testing.T) {
	var pause time.Duration
	for n, want := range []time.Duration{500, 1000, 2000, 4000, 8000, 16000, 30000, 30000} {
		if pause = nextPause(pause, time.Second); pause != want*time.Millisecond {
			t.Errorf("after end %d it waits %v, want %v", n+1, pause, want*time.Millisecond)
		}
	}
	if again := nextPause(pause, steady); again != lastPause {
		t.Errorf("after %v it waits %v", steady, again)
	}
	if again := nextPause(pause, steady+1); again != firstPause {
		t.Errorf("after a steady run it waits %v", again)
	}
}
