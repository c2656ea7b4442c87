package local

import (
	"fmt"
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

// requests sums what was counted of all versions.
func requests(r report.Report) int64 {
	var n int64
	for _, v := range r.Versions {
		if v.Counts != nil {
			n += v.Counts.Requests
		}
	}
	return n
}

func awaiting(r report.Report) bool { return r.Reason == rollout.ReasonAwaitingPromote }

var waits = rollout.Plan{Strategy: rollout.Canary, Steps: []rollout.Step{{Weight: 25, Manual: true}}}

func TestCounts_OutliveAnEndOfGapless(t *testing.T) {
	for _, c := range []struct {
		name   string
		leave  bool
		deploy rollout.Version
		stands func(report.Report) bool
	}{
		{"a canary that waits, left running", true, "2.0.0", awaiting},
		{"a canary that waits, stopped", false, "2.0.0", awaiting},
		{"a rollout that is over", true, "1.0.0", serving("1.0.0", 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{StateDir: t.TempDir(), Leave: c.leave, File: app.File{Apps: []app.App{testApp(t, "naive", waits)}}}
			h := up(t, o)
			h.until("1.0.0 serves", serving("1.0.0", 2))
			if _, err := h.c.Deploy(t.Context(), "demo", c.deploy); err != nil {
				t.Fatal(err)
			}
			h.until(c.name, c.stands)
			for range 40 {
				if code := status(t, h.url("/")); code != 200 {
					t.Errorf("status %d", code)
				}
			}
			h.stop()
			o.Leave = false
			h = up(t, o)
			if r := h.until("it is looked at", func(report.Report) bool { return true }); requests(r) != 40 {
				t.Errorf("%d requests are known of 40: %+v", requests(r), r.Versions)
			}
		})
	}
}

// An apartHost is a Gapless in a process of its own that can be killed.
type apartHost struct {
	*testHost
	process *exec.Cmd
	state   string
	file    app.File
	port    int
}

// waitsApart serves an app whose canary waits for somebody, and whose stable version is up.
func waitsApart(t *testing.T) *apartHost {
	t.Helper()
	dir := t.TempDir()
	a := testApp(t, "naive", waits)
	a.Ports[0].Public = freePort(t)
	a.Stop.Grace = 3 * time.Second
	h := &apartHost{state: filepath.Join(dir, "state"), file: app.File{Apps: []app.App{a}}, port: a.Ports[0].Public}
	h.process = hostApart(t, dir, h.file)
	h.testHost = &testHost{t: t, c: Dial(SocketOf(h.state))}
	h.until("stable serves", serving("1.0.0", 2))
	return h
}

func (h *apartHost) kill() {
	h.t.Helper()
	if err := h.process.Process.Kill(); err != nil {
		h.t.Fatal(err)
	}
	_ = h.process.Wait()
}

func TestCounts_OfARolloutThatStandsAreWrittenDownWhileItDoes(t *testing.T) {
	h := waitsApart(t)
	if _, err := h.c.Deploy(t.Context(), "demo", "2.0.0"); err != nil {
		t.Fatal(err)
	}
	h.until("25 % stand", awaiting)
	for range 40 {
		if code := status(t, fmt.Sprintf("http://127.0.0.1:%d/", h.port)); code != 200 {
			t.Errorf("status %d", code)
		}
	}
	h.until("they are written down", func(report.Report) bool {
		var kept report.Report
		err := read(filepath.Join(h.state, "apps", "demo", "revisions", "000002.json"), &kept)
		return err == nil && requests(kept) == 40
	})
	h.kill()
	again := up(t, Options{StateDir: h.state, File: h.file})
	if r := again.until("it is looked at", func(report.Report) bool { return true }); requests(r) != 40 || r.Revision != 2 {
		t.Errorf("%d requests are known of 40 of revision %d: %+v", requests(r), r.Revision, r.Versions)
	}
}

func TestCounts_AreNotWrittenAgainWhereNothingWasCounted(t *testing.T) {
	dir := t.TempDir()
	h := up(t, Options{StateDir: dir, File: app.File{Apps: []app.App{testApp(t, "naive", waits)}}})
	h.until("1.0.0 serves", serving("1.0.0", 2))
	file := filepath.Join(dir, "apps", "demo", "revisions", "000001.json")
	wrote := func() time.Time {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	beaten := func() time.Time {
		info, err := os.Stat(filepath.Join(dir, "lock"))
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	two := func(from time.Time) {
		h.until("two heartbeats", func(report.Report) bool { return beaten().Sub(from) > 2*heartbeat })
	}
	two(beaten())
	before := wrote()
	two(beaten())
	if after := wrote(); !after.Equal(before) {
		t.Errorf("written at %v, was at %v", after, before)
	}
	if res, err := http.Get(h.url("/")); err == nil {
		res.Body.Close()
	}
	h.until("the request is written down", func(report.Report) bool { return wrote().After(before) })
}

func TestNote_SaysHowManyRequestsWereOnTheirWayWhenGaplessDied(t *testing.T) {
	h := waitsApart(t)
	ended := make(chan error, 3)
	for range 3 {
		go func() {
			res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/slow?for=5m", h.port))
			if err == nil {
				res.Body.Close()
			}
			ended <- err
		}()
	}
	h.until("three are written down", func(report.Report) bool {
		n := 0
		err := read(filepath.Join(h.state, "apps", "demo", "underway.json"), &n)
		return err == nil && n == 3
	})
	h.kill()
	for range 3 {
		if <-ended == nil {
			t.Error("a request was answered without a proxy")
		}
	}
	r := up(t, Options{StateDir: h.state, File: h.file}).until("it is looked at", func(report.Report) bool { return true })
	if !slices.ContainsFunc(r.Notes, func(n string) bool {
		return strings.Contains(n, "at its last heartbeat 3 requests were on their way through it")
	}) {
		t.Errorf("notes %q", r.Notes)
	}
}
