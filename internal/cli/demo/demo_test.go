package demo

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/probe"
	evidence "gapless.dev/gapless/internal/report"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestAppFile_IsOneThatUpWouldAccept(t *testing.T) {
	for _, s := range strategies {
		for _, service := range []string{naive, prepared} {
			f, err := app.Parse("demo.yaml", []byte(AppFile(&Options{Replicas: 3, Start: time.Second}, s, service, "/tmp/a \"b\"/gapless")))
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Apps[0].Plan.Strategy; got != s {
				t.Errorf("strategy %s, want %s", got, s)
			}
			if isNaive := strings.Contains(fmt.Sprint(f.Apps[0].Command), "-naive"); isNaive != (service == naive) {
				t.Errorf("%s: %q", service, f.Apps[0].Command)
			}
		}
	}
}

func TestCells_AreTheAskedOnes(t *testing.T) {
	for _, c := range []struct {
		strategy, service string
		want              int
	}{{all, both, 9}, {all, prepared, 4}, {all, naive, 5}, {"canary", both, 2}, {"rolling", naive, 1}} {
		o := &Options{Strategy: c.strategy, Service: c.service, Rate: 300, Replicas: 3}
		cells, err := o.cells()
		if err != nil || len(cells) != c.want {
			t.Errorf("%s, %s: %d cells, %v; want %d", c.strategy, c.service, len(cells), err, c.want)
		}
	}
}

func TestCells_RefuseNonsense(t *testing.T) {
	for name, o := range map[string]Options{
		"strategy": {Strategy: "canray", Service: both, Rate: 300, Replicas: 3},
		"service":  {Strategy: all, Service: "good", Rate: 300, Replicas: 3},
		"rate":     {Strategy: all, Service: both, Rate: 0, Replicas: 3},
		"replicas": {Strategy: all, Service: both, Rate: 300, Replicas: 0},
		"start":    {Strategy: all, Service: both, Rate: 300, Replicas: 3, Start: -1},
	} {
		if _, err := o.cells(); exit.Code(err) != exit.Usage {
			t.Errorf("%s: %v, want a usage error", name, err)
		}
	}
}

func TestTable_LooksAsAgreed(t *testing.T) {
	golden(t, "testdata/table.golden", Table(options(), results(), paint.Palette{}))
}

func TestJSON_HoldsTheAgreedFields(t *testing.T) {
	var b bytes.Buffer
	if err := writeJSON(&b, results()); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Runs []map[string]any
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"strategy", "service", "requests", "lost", "longestGapMs", "durationMs", "versions", "verdict"} {
		if _, ok := doc.Runs[0][field]; !ok {
			t.Errorf("field %s is missing in %v", field, doc.Runs[0])
		}
	}
	golden(t, "testdata/runs.json.golden", b.String())
}

func TestDraw_ShowsWhatIsDoneWhatRunsAndWhatComes(t *testing.T) {
	done := results()
	cells, err := options().cells()
	if err != nil {
		t.Fatal(err)
	}
	p := picture{
		opts: *options(), cells: cells, done: done[:2], current: 2,
		traffic: traffic("111111122", 0, 0),
		live:    probe.Live{PerSecond: map[string]int{"1.0.0": 201, "2.0.0": 99}},
		report: evidence.Report{
			App: appName, Revision: 1, Strategy: "rolling", From: oldVersion, To: newVersion, Phase: "Promoting", Outcome: evidence.Running, Weight: 33, Message: "2 of 3 processes are still 1.0.0.",
			Versions: []evidence.Version{{Name: oldVersion, Role: "stable", Weight: 67, Desired: 2, Ready: 2}, {Name: newVersion, Role: "candidate", Weight: 33, Desired: 2, Ready: 1}},
		},
	}
	golden(t, "testdata/live.golden", draw(p, 90))
}

func TestLostAny_ForgivesOnlyWhatMustLose(t *testing.T) {
	for strategy, want := range map[string]bool{"recreate": false, "direct": false, "rolling": true, "blue-green": true, "canary": true} {
		if got := lostAny([]Result{{Strategy: strategy, Traffic: evidence.Traffic{Lost: 1}}}); got != want {
			t.Errorf("%s: %v, want %v", strategy, got, want)
		}
	}
}

func options() *Options {
	return &Options{Strategy: all, Service: both, Rate: 300, Replicas: 3}
}

func results() []Result {
	return []Result{
		{Strategy: "recreate", Service: naive, Traffic: traffic("11111111....22222222", 182, 606*time.Millisecond), Duration: 700 * time.Millisecond},
		{Strategy: "recreate", Service: prepared, Traffic: traffic("11111111....22222222", 180, 600*time.Millisecond), Duration: 800 * time.Millisecond},
		{Strategy: "rolling", Service: naive, Traffic: traffic("11111111212122222222", 0, 0), Duration: 3 * time.Second},
		{Strategy: "canary", Service: naive, Traffic: traffic("111111211212x2222222", 1, 3*time.Millisecond), Duration: 5 * time.Second},
		{Strategy: "direct", Service: naive, Traffic: traffic("1111111....222222222", 175, 590*time.Millisecond), Duration: 590 * time.Millisecond},
	}
}

// traffic makes up what a probe would have counted.
func traffic(over string, lost int, gap time.Duration) evidence.Traffic {
	t := evidence.Traffic{Requests: 100 * len(over), Lost: lost, LongestGap: evidence.Millis(gap), Versions: map[string]int{}, Verdict: evidence.NoneLost}
	if lost > 0 {
		t.Verdict, t.Losses = evidence.SomeLost, map[string]int{"refused": lost}
	}
	for _, c := range over {
		b := evidence.Bucket{Versions: map[string]int{}}
		switch c {
		case '1':
			b.Versions[oldVersion] = 100
		case '2':
			b.Versions[newVersion] = 100
		case 'x':
			b.Versions[newVersion], b.Lost = 99, 1
		case '.':
			b.Lost = 100
		}
		for v, n := range b.Versions {
			t.Versions[v] += n
		}
		t.Timeline = append(t.Timeline, b)
	}
	return t
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
