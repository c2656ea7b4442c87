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

func TestKill9_InEachPhaseRestartsNothingAndGoesOn(t *testing.T) {
	pause := rollout.Plan{Strategy: rollout.Canary, Steps: []rollout.Step{{Weight: 25, Manual: true}, {Weight: 50, Pause: time.Second}}}
	for _, c := range []struct {
		phase string
		plan  rollout.Plan
		how   string
		at    func(report.Report) bool
	}{
		{"Idle", pause, "naive", serving("1.0.0", 2)},
		{"Preparing", pause, "unready@2.0.0", func(r report.Report) bool {
			return r.Phase == string(rollout.Preparing) && len(pids(r, "2.0.0")) > 0
		}},
		{"Shifting", pause, "naive", func(r report.Report) bool { return r.Reason == rollout.ReasonAwaitingPromote }},
		{"Shifting, second step", pause, "naive", func(r report.Report) bool { return r.Weight == 50 }},
		{"Promoting", rollout.Plan{Strategy: rollout.BlueGreen, HoldBack: 2 * time.Second}, "naive", func(r report.Report) bool { return r.Weight == 100 && r.Revision == 2 }},
		{"Finishing", rollout.Plan{Strategy: rollout.BlueGreen}, "deaf@1.0.0", func(r report.Report) bool { return r.Phase == string(rollout.Finishing) }},
		{"Aborting", pause, "deaf@2.0.0", func(r report.Report) bool { return r.Phase == string(rollout.Aborting) }},
	} {
		t.Run(c.phase, func(t *testing.T) {
			dir := t.TempDir()
			a := testApp(t, c.how, c.plan)
			a.Stop.Grace = 3 * time.Second
			a.Ports[0].Public = freePort(t)
			file := app.File{Apps: []app.App{a}}
			apart := hostApart(t, dir, file)
			h := &testHost{t: t, c: Dial(SocketOf(filepath.Join(dir, "state")))}
			h.until("stable serves", serving("1.0.0", 2))
			l := loadOn(t, fmt.Sprintf("http://127.0.0.1:%d/", a.Ports[0].Public), 60)
			if c.phase != "Idle" {
				if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
					t.Fatal(err)
				}
			}
			if c.phase == "Aborting" || c.phase == "Shifting, second step" {
				h.until("25 % stand", func(r report.Report) bool { return r.Reason == rollout.ReasonAwaitingPromote })
				verb := rollout.Abort
				if c.phase != "Aborting" {
					verb = rollout.Promote
				}
				if _, err := h.c.Order(t.Context(), "demo", verb); err != nil {
					t.Fatal(err)
				}
			}
			if c.phase == "Idle" {
				l.sees(t, "1.0.0")
			}
			before := h.until(c.phase, c.at)
			killed := time.Now()
			if err := apart.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = apart.Wait()
			ran := append(readyPids(before, "1.0.0"), readyPids(before, "2.0.0")...)
			for _, pid := range ran {
				if !identify(pid).alive() {
					t.Errorf("process %d died with gapless", pid)
				}
			}

			h = up(t, Options{StateDir: filepath.Join(dir, "state"), File: file})
			back := time.Now()
			after := h.until("it is looked at", func(report.Report) bool { return true })
			if now := append(pids(after, "1.0.0"), pids(after, "2.0.0")...); !subset(ran, now) {
				t.Errorf("%v served before, %v are known now", ran, now)
			}
			res, err := http.Get(h.url("/"))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 200 {
				t.Errorf("the first request after the kill: %s", res.Status)
			}
			if !slices.ContainsFunc(after.Notes, func(n string) bool { return strings.Contains(n, "no Gapless was here for") }) {
				t.Errorf("what it cost is not told: %q", after.Notes)
			}
			if after.Revision != before.Revision {
				t.Errorf("revision %d, was %d", after.Revision, before.Revision)
			}
			finish(t, h, c.phase)
			l.cost(t, killed, back)
		})
	}
}

// cost says what the proxy's own death lost: what was on its way through it, and what came while nothing listened. Anything
// else that was lost is a fault of ours.
func (l *loader) cost(t *testing.T, killed, back time.Time) {
	t.Helper()
	l.stop()
	cut, refused := 0, 0
	for _, r := range l.lost {
		switch {
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

// finish takes a rollout that was interrupted to its end.
func finish(t *testing.T, h *testHost, phase string) {
	t.Helper()
	order := func(verb rollout.Verb) {
		t.Helper()
		if _, err := h.c.Order(t.Context(), "demo", verb); err != nil {
			t.Fatal(err)
		}
	}
	switch phase {
	case "Idle", "Aborting":
		h.until("1.0.0 serves", serving("1.0.0", 2))
	case "Preparing":
		order(rollout.Abort)
		h.until("1.0.0 serves", serving("1.0.0", 2))
	case "Shifting":
		order(rollout.Promote)
		h.until("2.0.0 serves", serving("2.0.0", 2))
	default:
		h.until("2.0.0 serves", serving("2.0.0", 2))
	}
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
