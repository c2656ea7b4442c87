package local

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// The test binary is also a host that can be killed: with this variable it serves the app in the file it names.
const hostIn = "LOCAL_TEST_HOST"

func host() {
	var o Options
	b, err := os.ReadFile(os.Getenv(hostIn))
	if err == nil {
		err = json.Unmarshal(b, &o.File)
	}
	if err != nil {
		panic(err)
	}
	o.StateDir = filepath.Join(filepath.Dir(os.Getenv(hostIn)), "state")
	o.Log = os.Stderr
	o.Ready = func(Ping) { fmt.Println("ready") }
	fmt.Fprintln(os.Stderr, Up(context.Background(), o))
	os.Exit(1)
}

// hostApart serves a file in a process of its own, and returns it once it is ready.
func hostApart(t *testing.T, dir string, f app.File) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "file.json")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), hostIn+"="+name)
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if !bufio.NewScanner(out).Scan() {
		t.Fatal("the host did not get ready")
	}
	return cmd
}

// A killing is a moment in which Gapless is killed. What holds the rollout there is an event that only comes afterwards, so that it is there
// when the kill comes, however slow the machine is.
type killing struct {
	name  string
	phase rollout.Phase
	plan  rollout.Plan
	how   string
	gated string                         // instances that get ready once the test opens the gate
	lead  func(*testHost)                // to the moment, from where stable serves; nil if it is before that
	at    func(report.Report) bool       // the moment, beside the phase
	end   func(h *testHost, open func()) // lets the rollout go on to its end
	stays string                         // the version that serves then
}

func (h *testHost) deploy(version rollout.Version) {
	h.t.Helper()
	if _, err := h.c.Deploy(h.t.Context(), "demo", version); err != nil {
		h.t.Fatal(err)
	}
}

func (h *testHost) order(verb rollout.Verb) {
	h.t.Helper()
	if _, err := h.c.Order(h.t.Context(), "demo", verb); err != nil {
		h.t.Fatal(err)
	}
}

func killings() []killing {
	two := rollout.Plan{Strategy: rollout.Canary, Steps: []rollout.Step{{Weight: 25, Manual: true}, {Weight: 50, Manual: true}}}
	deploy := func(h *testHost) { h.deploy("2.0.0") }
	stand := func(h *testHost) {
		h.deploy("2.0.0")
		h.until("25 % stand", awaiting)
	}
	then := func(verb rollout.Verb) func(*testHost) {
		return func(h *testHost) {
			stand(h)
			h.order(verb)
		}
	}
	paused := two
	paused.Steps = []rollout.Step{{Weight: 25, Pause: time.Hour}}
	always := func(report.Report) bool { return true }
	open := func(_ *testHost, open func()) { open() }
	nothing := func(*testHost, func()) {}
	return []killing{
		{"Idle", rollout.Idle, two, "naive", "", func(*testHost) {}, always, nothing, "1.0.0"},
		{"Preparing", rollout.Preparing, two, "naive", "demo-2.0.0", deploy, func(r report.Report) bool {
			return len(pids(r, "2.0.0")) > 0
		}, func(h *testHost, _ func()) { h.order(rollout.Abort) }, "1.0.0"},
		{"Shifting", rollout.Shifting, two, "naive", "", deploy, awaiting, func(h *testHost, _ func()) { h.order(rollout.PromoteFull) }, "2.0.0"},
		{"Shifting, second step", rollout.Shifting, two, "naive", "", then(rollout.Promote), func(r report.Report) bool {
			return awaiting(r) && r.Weight == 50
		}, func(h *testHost, _ func()) { h.order(rollout.Promote) }, "2.0.0"},
		{"Promoting", rollout.Promoting, waits, "naive", "demo-2.0.0-2", then(rollout.Promote), func(r report.Report) bool {
			return len(pids(r, "2.0.0")) == 2
		}, open, "2.0.0"},
		{"Finishing", rollout.Finishing, rollout.Plan{Strategy: rollout.BlueGreen}, "deaf@1.0.0", "", deploy, always, nothing, "2.0.0"},
		{"Aborting", rollout.Aborting, two, "deaf@2.0.0", "", then(rollout.Abort), always, nothing, "1.0.0"},
		{"Held", rollout.Held, two, "naive", "", func(h *testHost) {
			stand(h)
			h.order(rollout.Abort)
			h.until("all is back", over(report.Aborted))
			h.deploy("2.0.0")
		}, always, nothing, "1.0.0"},
		{"rolling", rollout.Shifting, rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1}, "naive", "demo-2.0.0-2", deploy, func(r report.Report) bool {
			return len(readyPids(r, "2.0.0")) == 1 && len(pids(r, "2.0.0")) == 2
		}, open, "2.0.0"},
		{"recreate", rollout.Preparing, rollout.Plan{Strategy: rollout.Recreate}, "naive", "demo-2.0.0", deploy, func(r report.Report) bool {
			return len(pids(r, "2.0.0")) == 2
		}, open, "2.0.0"},
		{"first version", rollout.Preparing, two, "naive", "demo-1.0.0", nil, func(r report.Report) bool {
			return len(pids(r, "1.0.0")) == 2
		}, open, "1.0.0"},
		{"blue-green at its switch", rollout.Preparing, rollout.Plan{Strategy: rollout.BlueGreen, Manual: true}, "naive", "", deploy, awaiting, func(h *testHost, _ func()) {
			if code, v := h.look("demo-preview.localhost"); code != 200 || v != "2.0.0" {
				h.t.Errorf("the preview: %s answers %d", v, code)
			}
			h.order(rollout.Promote)
		}, "2.0.0"},
		{"blue-green in hold-back", rollout.Finishing, rollout.Plan{Strategy: rollout.BlueGreen, HoldBack: time.Hour}, "naive", "", deploy, holdsBack, func(h *testHost, _ func()) {
			h.order(rollout.Undo)
		}, "1.0.0"},
		{"paused", rollout.Shifting, paused, "naive", "", func(h *testHost) {
			h.deploy("2.0.0")
			h.until("25 % stand", func(r report.Report) bool { return r.Reason == rollout.ReasonStepStanding })
			h.order(rollout.Pause)
		}, func(r report.Report) bool {
			return r.PausedBy != "" && r.Weight == 25
		}, func(h *testHost, _ func()) {
			h.order(rollout.Resume)
			h.order(rollout.PromoteFull)
		}, "2.0.0"},
	}
}

func TestKill9_InEachPhaseRestartsNothingAndGoesOn(t *testing.T) {
	for _, c := range killings() {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			state, gate := filepath.Join(dir, "state"), filepath.Join(dir, "gate")
			a := testApp(t, c.how, c.plan)
			a.Stop.Grace = 3 * time.Second
			a.Ports[0].Public = freePort(t)
			a.Env[gateOf], a.Env[gatedOf] = gate, c.gated
			file := app.File{Apps: []app.App{a}}
			apart := hostApart(t, dir, file)
			h := &testHost{t: t, c: Dial(SocketOf(state))}
			var l *loader
			serve := func() { l = loadOn(t, fmt.Sprintf("http://127.0.0.1:%d/", a.Ports[0].Public), 60) }
			if c.lead == nil {
				serve()
			} else {
				h.until("stable serves", serving("1.0.0", 2))
				serve()
				l.sees(t, "1.0.0")
				c.lead(h)
			}
			before := h.until(c.name, func(r report.Report) bool { return r.Phase == string(c.phase) && c.at(r) })
			killed := time.Now()
			if err := apart.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = apart.Wait()
			var left rollout.State
			if err := read(filepath.Join(state, "apps", "demo", "state.json"), &left); err != nil || left.Phase != c.phase {
				t.Fatalf("it was killed in %s, not in %s (%v)", left.Phase, c.phase, err)
			}
			ran := append(readyPids(before, "1.0.0"), readyPids(before, "2.0.0")...)
			for _, pid := range ran {
				if !identify(pid).alive() {
					t.Errorf("process %d died with gapless", pid)
				}
			}

			h = up(t, Options{StateDir: state, File: file})
			back := time.Now()
			after := h.until("it is looked at", func(report.Report) bool { return true })
			if now := append(pids(after, "1.0.0"), pids(after, "2.0.0")...); !subset(ran, now) {
				t.Errorf("%v served before, %v are known now", ran, now)
			}
			down := len(ran) == 0
			if code := status(t, h.url("/")); code != 200 && !down {
				t.Errorf("the first request after the kill: %d", code)
			}
			if !slices.ContainsFunc(after.Notes, func(n string) bool { return strings.Contains(n, "no Gapless was here for") }) {
				t.Errorf("what it cost is not told: %q", after.Notes)
			}
			if c.how == "naive" && (after.Phase != before.Phase || after.Step != before.Step || after.Weight != before.Weight || !c.at(after)) {
				t.Errorf("it stood in %s at step %d with %d %% and now does in %s at step %d with %d %%: %s",
					before.Phase, before.Step, before.Weight, after.Phase, after.Step, after.Weight, after.Message)
			}
			if after.Revision != before.Revision {
				t.Errorf("revision %d, was %d", after.Revision, before.Revision)
			}
			c.end(h, func() {
				if err := os.WriteFile(gate, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			})
			last := h.until(c.stays+" serves", func(r report.Report) bool {
				return r.Phase == string(rollout.Held) && c.phase == rollout.Held || serving(c.stays, 2)(r)
			})
			if lived, now := pids(before, c.stays), pids(last, c.stays); len(lived) == 0 || !subset(lived, now) {
				t.Errorf("at the end %s runs as %v, at the kill it did as %v", c.stays, now, lived)
			}
			l.cost(t, killed, back, down)
		})
	}
}

// cost says what the proxy's own death lost: what was on its way through it, and what came while nothing listened. Anything
// else that was lost is a fault of ours, unless all was down on purpose.
func (l *loader) cost(t *testing.T, killed, back time.Time, down bool) {
	t.Helper()
	l.stop()
	cut, refused := 0, 0
	for _, r := range l.lost {
		switch {
		case down && r.Status == http.StatusServiceUnavailable:
		case r.Started.Before(killed) && r.Ended.After(killed):
			cut++
		case !r.Started.Before(killed) && !r.Started.After(back):
			refused++
		default:
			t.Errorf("lost %s after the kill: %+v", r.Started.Sub(killed), r)
		}
	}
	t.Logf("the proxy was away for %s: %d of %d requests lost, %d of them on their way through it and %d while nothing listened",
		back.Sub(killed).Round(time.Millisecond), cut+refused, l.all, cut, refused)
}

func subset(some, all []int) bool {
	return !slices.ContainsFunc(some, func(n int) bool { return !slices.Contains(all, n) })
}

// readyPids are the processes of a version that served.
func readyPids(r report.Report, version string) []int {
	var all []int
	for _, v := range r.Versions {
		for _, i := range v.Instances {
			if v.Name == version && i.State == string(ready) {
				all = append(all, i.Pid)
			}
		}
	}
	return all
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestLeave_KeepsTheServicesAndAChangedFileIsFollowed(t *testing.T) {
	dir := t.TempDir()
	a := testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
	h := up(t, Options{StateDir: dir, Leave: true, File: app.File{Apps: []app.App{a}}})
	first := pids(h.until("1.0.0 serves", serving("1.0.0", 2)), "1.0.0")
	h.stop()
	for _, pid := range first {
		if !identify(pid).alive() {
			t.Errorf("process %d did not stay", pid)
		}
	}
	a.Replicas = 3
	h = up(t, Options{StateDir: dir, Leave: true, File: app.File{Apps: []app.App{a}}})
	if now := pids(h.until("three serve", serving("1.0.0", 3)), "1.0.0"); !subset(first, now) {
		t.Errorf("%v, were %v", now, first)
	}
	h.stop()
	a.Version = "2.0.0"
	h = up(t, Options{StateDir: dir, Leave: true, File: app.File{Apps: []app.App{a}}})
	second := pids(h.until("2.0.0 serves", serving("2.0.0", 3)), "2.0.0")
	h.stop()

	b := a
	b.Name = "other"
	up(t, Options{StateDir: dir, File: app.File{Apps: []app.App{b}}})
	for _, pid := range second {
		if identify(pid).alive() {
			t.Errorf("process %d of an app that is no more in the file runs on", pid)
		}
	}
}

func TestIdentity_IsNotFooledByAPidThatIsUsedAgain(t *testing.T) {
	me := identify(os.Getpid())
	if !me.alive() {
		t.Error("this process is not alive")
	}
	me.Start += "0"
	if me.alive() {
		t.Error("a process that began at another time was taken for this one")
	}
	if _, ok := adopt(me, time.Now()); ok {
		t.Error("it was adopted")
	}
}

func TestAdopt_LeavesAloneWhatOnlyHasTheNumberOfOurs(t *testing.T) {
	// A group whose leader has ended, as a daemon that forked twice leaves it, with a number that is in our book from before a reboot.
	out, err := exec.Command("setsid", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $$ $!").Output()
	if err != nil {
		t.Skip("no setsid: ", err)
	}
	var leader, daemon int
	if _, err := fmt.Sscan(string(out), &leader, &daemon); err != nil {
		t.Fatal(err)
	}
	other := identify(daemon)
	defer func() {
		p, _ := os.FindProcess(daemon)
		_ = p.Kill()
	}()
	if _, ok := adopt(identity{Pid: leader, Start: "another-boot/1"}, time.Now()); ok {
		t.Error("it was adopted")
	}
	if !other.alive() {
		t.Error("somebody else's process was ended")
	}
}

func TestStopAndUp_KeepsWhatWasDeployed(t *testing.T) {
	dir := t.TempDir()
	o := Options{StateDir: dir, File: app.File{Apps: []app.App{testApp(t, "naive", rollout.Plan{Strategy: rollout.BlueGreen})}}}
	h := up(t, o)
	h.until("1.0.0 serves", serving("1.0.0", 2))
	if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
		t.Fatal(err)
	}
	first := h.until("2.0.0 serves", serving("2.0.0", 2))
	h.stop()
	for _, pid := range pids(first, "2.0.0") {
		if identify(pid).alive() {
			t.Errorf("process %d runs on", pid)
		}
	}
	h = up(t, o)
	if again := h.until("2.0.0 serves again", serving("2.0.0", 2)); again.Revision != first.Revision {
		t.Errorf("revision %d, was %d", again.Revision, first.Revision)
	}
}

func TestUp_StartsAgainWhatHasEndedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	a := testApp(t, "naive", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
	o := Options{StateDir: dir, Leave: true, File: app.File{Apps: []app.App{a}}}
	h := up(t, o)
	before := pids(h.until("two serve", serving("1.0.0", 2)), "1.0.0")
	h.stop()
	victim, err := os.FindProcess(before[0])
	if err != nil {
		t.Fatal(err)
	}
	_ = victim.Kill()
	_, _ = victim.Wait()
	o.Leave = false
	h = up(t, o)
	after := pids(h.until("two serve again", serving("1.0.0", 2)), "1.0.0")
	if slices.Contains(after, before[0]) || !slices.Contains(after, before[1]) {
		t.Errorf("%v, were %v", after, before)
	}
}
