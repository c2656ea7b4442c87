package status

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/cli/paint"
	evidence "gapless.dev/gapless/internal/report"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func processes(version string, from, n int, state string) []evidence.Instance {
	var all []evidence.Instance
	for i := range n {
		all = append(all, evidence.Instance{
			Name: fmt.Sprintf("demo-api-%s-%d", version, i+1), Pid: 4000 + from + i, Address: fmt.Sprintf("127.0.0.1:%d", 40000+from+i), State: state, Since: start.Add(-time.Duration(from) * time.Minute),
		})
	}
	return all
}

func pods(set string, n int, state string) []evidence.Instance {
	var all []evidence.Instance
	for i := range n {
		all = append(all, evidence.Instance{
			Name: fmt.Sprintf("%s-%dxyz", set, i+1), Node: fmt.Sprintf("node-%d", i%2+1), Address: fmt.Sprintf("10.128.%d.%d", i%2+1, i+5), Listed: state == "Ready", State: state, Since: start,
		})
	}
	return all
}

func views() map[string]View {
	canary := evidence.Report{
		App: "demo-api", Revision: 4, Strategy: "canary", From: "1.0.0", To: "2.0.0", Phase: "Shifting", Step: 2, Steps: 3, Weight: 25,
		At: at(41.2), Started: at(0), Until: at(53), Outcome: evidence.Running, Reason: "StepPause",
		Message: "Step 2 of 3 has 25 % of the traffic; its pause of 30 s ends in 12 s, and nothing was seen to be wrong so far.",
		Phases: []evidence.Span{
			{Name: "Preparing", Start: at(0), End: at(3.2)},
			{Name: "Shifting", Step: 1, Weight: 10, Start: at(3.2), End: at(23.3)},
			{Name: "Shifting", Step: 2, Weight: 25, Start: at(23.3)},
		},
		Versions: []evidence.Version{
			{Name: "1.0.0", Role: "stable", Weight: 75, Desired: 3, Running: 3, Ready: 3, InFlight: 2, Counts: &evidence.Counts{Requests: 11_048, Latency: evidence.Millis(1200 * time.Microsecond)}, Instances: processes("1.0.0", 10, 3, "Ready")},
			{Name: "2.0.0", Role: "candidate", Weight: 25, Desired: 1, Running: 1, Ready: 1, Counts: &evidence.Counts{Requests: 1_311, Status5xx: 2, Latency: evidence.Millis(900 * time.Microsecond)}, Instances: processes("2.0.0", 0, 1, "Ready")},
		},
	}
	var history []Rates
	for i := range 40 {
		two := 0.0
		if i > 4 {
			two = 30
		}
		if i > 22 {
			two = 75
		}
		one := Rates{PerSecond: map[string]float64{"1.0.0": 300 - two, "2.0.0": two}}
		if i == 23 {
			one.Lost = 2
		}
		history = append(history, one)
	}
	rest := evidence.Report{
		App: "demo-api", Revision: 4, Strategy: "rolling", From: "1.0.0", To: "2.0.0", Phase: "Idle", At: at(100), Started: at(0), Ended: at(62.5), Outcome: evidence.Promoted,
		Message:  "2.0.0 serves.",
		Phases:   []evidence.Span{{Name: "Preparing", Start: at(0), End: at(3.2)}, {Name: "Promoting", Start: at(3.2), End: at(60)}, {Name: "Finishing", Start: at(60), End: at(62.5)}},
		Versions: []evidence.Version{{Name: "2.0.0", Role: "stable", Weight: 100, Desired: 3, Running: 3, Ready: 3, InFlight: 0, Counts: &evidence.Counts{Requests: 18_000}, Instances: processes("2.0.0", 1, 3, "Ready")}},
	}
	aborted := evidence.Report{
		App: "demo-api", Revision: 5, Strategy: "canary", From: "2.0.0", To: "2.1.0-rc.1+build.20261123", Phase: "Idle", At: at(100), Started: at(0), Ended: at(30), Outcome: evidence.Aborted,
		Reason: "DeadlineExceeded", Message: "2.1.0-rc.1+build.20261123 made no progress for 30 s: none of its processes became ready.",
		Phases: []evidence.Span{{Name: "Preparing", Start: at(0), End: at(30)}, {Name: "Aborting", Start: at(30), End: at(30.4)}},
		Versions: []evidence.Version{
			{Name: "2.0.0", Role: "stable", Weight: 100, Desired: 3, Running: 3, Ready: 3, InFlight: -1, Instances: processes("2.0.0", 1, 3, "Ready")},
			{
				Name: "2.1.0-rc.1+build.20261123", Role: "candidate", Desired: 1, Running: 1, Stopping: 1, Failure: "exited with code 1, 5 times in a row",
				Instances: []evidence.Instance{{Name: "demo-api-2.1.0-1", State: "CrashLoop", Restarts: 5, Since: at(97), Message: "exit code 1; next start in 8 s"}},
			},
		},
		Logs: []string{"starting", "the database schema is not known to this version: giving up"},
	}
	cluster := canary
	cluster.On = &evidence.Place{Platform: evidence.Kube, Context: "prod", Namespace: "shop"}
	cluster.Notes = []string{"A sentence that a person should know, and that is so long that it does not fit into one line of a terminal of eighty columns."}
	cluster.Versions = []evidence.Version{
		{Name: "1.0.0", Role: "stable", Weight: 75, Desired: 3, Running: 3, Ready: 3, InFlight: -1, Set: "demo-api-6b7f9c8d5b", Listed: new(3), Instances: pods("demo-api-6b7f9c8d5b", 3, "Ready")},
		{
			Name: "2.0.0", Role: "candidate", Weight: 25, Desired: 2, Running: 2, Ready: 1, InFlight: -1, Set: "demo-api-bcdfghjkl2", Listed: new(1),
			Instances: append(pods("demo-api-bcdfghjkl2", 1, "Ready"), evidence.Instance{
				Name: "demo-api-bcdfghjkl2-zzzzz", Node: "node-2", State: "CrashLoop", Restarts: 3, Since: at(20), Message: "container app keeps dying, with exit code 1: no such table (restarts: 3)",
			}),
		},
	}
	probed := cluster
	probed.Traffic = &evidence.Traffic{Requests: 12_345, Lost: 2, LongestGap: evidence.Millis(7 * time.Millisecond), Versions: map[string]int{"1.0.0": 11_000, "2.0.0": 1_343}}
	return map[string]View{
		"cluster": {Report: cluster},
		"probed":  {Report: probed, History: history, Where: true},
		"canary":  {Report: canary},
		"live":    {Report: canary, History: history},
		"rest":    {Report: rest},
		"aborted": {Report: aborted},
		"new":     {Report: evidence.Report{App: "demo-api", Phase: "Idle", At: at(0)}},
	}
}

func TestRender_LooksAsAgreed(t *testing.T) {
	for name, v := range views() {
		for _, width := range []int{80, 120} {
			got := Render(v, width)
			golden(t, fmt.Sprintf("testdata/%s.%d.golden", name, width), got)
			fits(t, name, got, width)
			v.Paint = paint.Palette{On: true}
			if d := cmp.Diff(got, unpainted(Render(v, width))); d != "" {
				t.Errorf("%s at %d: colour changes more than colour:\n%s", name, width, d)
			}
			v.Paint = paint.Palette{}
		}
	}
}

func TestRender_FitsAnyTerminal(t *testing.T) {
	for name, v := range views() {
		for width := 80; width < 240; width += 7 {
			fits(t, name, Render(v, width), width)
		}
		Render(v, 10) // must not panic where nothing can look good
	}
}

func TestOverview_ShowsOneLineAnApp(t *testing.T) {
	var all []evidence.Report
	for _, name := range []string{"canary", "rest", "aborted", "new", "cluster"} {
		r := views()[name].Report
		r.App = name
		all = append(all, r)
	}
	golden(t, "testdata/overview.golden", Overview(all, paint.Palette{}, 100))
}

func TestFollower_CountsRatesBetweenStatuses(t *testing.T) {
	var f Follower
	status := func(seconds float64, requests, errors int64) evidence.Report {
		return evidence.Report{App: "a", Revision: 1, At: at(seconds), Versions: []evidence.Version{{Name: "1", Counts: &evidence.Counts{Requests: requests, Errors: errors}}}}
	}
	f.Next(status(0, 100, 0))
	f.Next(status(0.1, 130, 0)) // an event between two seconds
	v := f.Next(status(2, 700, 4))
	if len(v.History) != 1 || v.History[0].PerSecond["1"] != 300 || v.History[0].Lost != 2 {
		t.Errorf("history %+v, want one entry of 300 requests and 2 losses a second", v.History)
	}
}

func fits(t *testing.T, name, text string, width int) {
	t.Helper()
	for line := range strings.Lines(text) {
		if w := lipgloss.Width(strings.TrimRight(line, "\n")); w > width {
			t.Errorf("%s: a line of %d does not fit into %d: %s", name, w, width, line)
		}
	}
}

func unpainted(s string) string {
	var b strings.Builder
	in := false
	for _, r := range s {
		switch {
		case r == '\x1b':
			in = true
		case in:
			in = r != 'm'
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}
