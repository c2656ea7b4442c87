package local

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// besideSidecar is an app whose port is its helper's: the process itself listens nowhere.
func besideSidecar(t *testing.T) app.App {
	t.Helper()
	a := testApp(t, "", rollout.Plan{Strategy: rollout.Rolling, MaxSurge: 1})
	a.Replicas = 1
	a.Helpers = []app.Helper{{Name: "entry", Command: a.Command, Env: map[string]string{actAs: "naive", "PORT": "{port.http}"}}}
	a.Command = []string{"sleep", "1000"}
	return a
}

func restarted(r report.Report) bool {
	return serving("1.0.0", 1)(r) && len(r.Versions[0].Instances) == 1 && r.Versions[0].Instances[0].Restarts == 1
}

func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	_, _ = p.Wait()
}

// starts counts how often the sidecar was started.
func starts(t *testing.T, stateDir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(stateDir, "apps", "demo", "logs", "demo-1.0.0-1.entry.log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "starting naive")
}

func TestPorts_AreKeptWhenTheProcessIsStartedAgain(t *testing.T) {
	dir := t.TempDir()
	h := up(t, Options{StateDir: dir, File: app.File{Apps: []app.App{besideSidecar(t)}}})
	before := h.until("it serves", serving("1.0.0", 1)).Versions[0].Instances[0]
	kill(t, before.Pid)
	after := h.until("it serves again", restarted).Versions[0].Instances[0]
	if after.Address != before.Address || after.Pid == before.Pid {
		t.Errorf("%+v, was %+v", after, before)
	}
	if n := starts(t, dir); n != 1 {
		t.Errorf("the helper was started %d times", n)
	}
	if code := status(t, h.url("/")); code != 200 {
		t.Errorf("status %d", code)
	}
}

func TestPorts_AreKeptOverARestartOfGaplessThatFindsOnlyTheHelper(t *testing.T) {
	dir := t.TempDir()
	o := Options{StateDir: dir, Leave: true, File: app.File{Apps: []app.App{besideSidecar(t)}}}
	h := up(t, o)
	before := h.until("it serves", serving("1.0.0", 1)).Versions[0].Instances[0]
	h.stop()
	kill(t, before.Pid)
	o.Leave = false
	h = up(t, o)
	after := h.until("it serves again", serving("1.0.0", 1)).Versions[0].Instances[0]
	if after.Address != before.Address || after.Pid == before.Pid {
		t.Errorf("%+v, was %+v", after, before)
	}
	if n := starts(t, dir); n != 1 {
		t.Errorf("the helper was started %d times", n)
	}
}

func TestPorts_ThatAStrangerTookAreReplacedWithTheHelpersToo(t *testing.T) {
	dir := t.TempDir()
	var said lines
	a := besideSidecar(t)
	a.Ports = append(a.Ports, app.Port{Name: "free", Inner: true})
	o := Options{StateDir: dir, Leave: true, File: app.File{Apps: []app.App{a}}}
	h := up(t, o)
	before := h.until("it serves", serving("1.0.0", 1)).Versions[0].Instances[0]
	h.stop()
	kill(t, before.Pid)
	var r roster
	if err := read(filepath.Join(dir, "apps", "demo", "instances.json"), &r); err != nil {
		t.Fatal(err)
	}
	stranger, err := net.Listen("tcp", loopback(r.Instances[0].Ports["free"]))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	o.Leave, o.Log = false, &said
	h = up(t, o)
	after := h.until("it serves again", serving("1.0.0", 1)).Versions[0].Instances[0]
	if after.Address == before.Address {
		t.Errorf("still at %s", after.Address)
	}
	if n := starts(t, dir); n != 2 {
		t.Errorf("the helper was started %d times", n)
	}
	h.stop()
	if !strings.Contains(said.String(), "was taken by another program") {
		t.Errorf("said:\n%s", said.String())
	}
}
