package probe_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"gapless.dev/gapless/internal/probe"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/kit/load"
	"gapless.dev/kit/load/loadtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun_ReportsExactlyWhatTheServerLost(t *testing.T) {
	faults := map[int]loadtest.Fault{
		1: loadtest.ResetBefore, 3: loadtest.EndInHeader, 5: loadtest.HalfAnswer,
		7: loadtest.Error500, 9: loadtest.Lie,
	}
	srv := loadtest.Start(false, func(seq int) loadtest.Fault { return faults[seq%20] })
	defer srv.Close()
	opts := srv.Options()
	opts.Rate, opts.For, opts.Timeout = 100, 2*time.Second, time.Minute
	opts.New, opts.Post, opts.H2 = 0.5, 0.2, 0.5

	p := probe.New(opts)
	got, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests != 200 || got.Lost != 50 || got.Verdict != report.SomeLost {
		t.Errorf("%d requests, %d lost, verdict %s", got.Requests, got.Lost, got.Verdict)
	}
	want := map[string]int{"reset-before": 10, "reset-after": 20, "status-5xx": 10, "wrong-body": 10}
	if diff := cmp.Diff(want, got.Losses); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{loadtest.Version: 150}, got.Versions); diff != "" {
		t.Error(diff)
	}
	// Of 20 requests 1, 3, 5, 7 and 9 are lost: one gap of 9 intervals, ten times.
	if len(got.Gaps) != 10 || got.LongestGap.Duration() != 90*time.Millisecond {
		t.Errorf("%d gaps, the longest %v", len(got.Gaps), got.LongestGap.Duration())
	}
	attempts := srv.Attempts()
	for id, n := range attempts {
		if n != 1 {
			t.Errorf("request %s was attempted %d times", id, n)
		}
	}
	if len(attempts) != got.Requests {
		t.Errorf("%d requests arrived, %d were counted", len(attempts), got.Requests)
	}

	sum := map[string]int{}
	for _, b := range got.Timeline {
		for v, n := range b.Versions {
			sum[v] += n
		}
		sum["lost"] += b.Lost
	}
	if !maps.Equal(sum, map[string]int{loadtest.Version: 150, "lost": 50}) {
		t.Errorf("the timeline sums to %v", sum)
	}
	classes := map[string]bool{}
	for _, l := range got.Examples {
		classes[l.Class] = true
	}
	if len(classes) != len(want) || len(got.Examples) > 20 {
		t.Errorf("%d examples of %d classes", len(got.Examples), len(classes))
	}
	if live := p.Live(); live.Requests != 200 || live.Lost != 50 || live.LongestGap != got.LongestGap.Duration() {
		t.Errorf("live: %+v", live)
	}
}

func TestRun_CountsStalledRequestsWhenTheyWereDue(t *testing.T) {
	srv := loadtest.Start(false, func(seq int) loadtest.Fault {
		if seq >= 5 && seq < 10 {
			return loadtest.Stall
		}
		return loadtest.None
	})
	defer srv.Close()
	opts := srv.Options()
	opts.Rate, opts.For, opts.Timeout, opts.New = 20, time.Second, 4*time.Second, 0.5
	got, err := probe.New(opts).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests != 20 || got.Losses["timeout"] != 5 || got.Lost != 5 {
		t.Errorf("%d requests, losses %v", got.Requests, got.Losses)
	}
	// Known seconds later, and still a gap of five intervals of 50 ms.
	want := []report.Gap{{Start: ms(250), Length: ms(250), Lost: 5, Losses: map[string]int{"timeout": 5}}}
	if diff := cmp.Diff(want, got.Gaps); diff != "" {
		t.Error(diff)
	}
}

func ms(n int) report.Millis { return report.Millis(time.Duration(n) * time.Millisecond) }

func TestRun_EndsEarlyWithTheReportSoFar(t *testing.T) {
	srv := loadtest.Start(false, func(int) loadtest.Fault { return loadtest.None })
	defer srv.Close()
	opts := srv.Options()
	opts.Rate, opts.For, opts.Timeout = 100, time.Hour, time.Minute
	p := probe.New(opts)
	p.Mark("early", time.Now().Add(-time.Second))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for p.Live().Requests < 20 {
			time.Sleep(time.Millisecond)
		}
		p.Mark("enough", time.Now())
		cancel()
	}()
	got, err := p.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests < 20 || got.Lost != 0 || got.Verdict != report.NoneLost {
		t.Errorf("%d requests, %d lost, verdict %s", got.Requests, got.Lost, got.Verdict)
	}
	if e := got.Elapsed.Duration(); e <= 0 || e > 10*time.Minute {
		t.Errorf("elapsed %v", e)
	}
	if len(got.Marks) != 2 || got.Marks[0].At >= 0 || got.Marks[1].At <= 0 {
		t.Errorf("marks %+v", got.Marks)
	}
}

func TestRun_RefusesWrongOptionsBeforeAnythingIsSent(t *testing.T) {
	got, err := probe.New(load.Options{URL: "localhost", Rate: 10}).Run(t.Context())
	if err == nil || got.Requests != 0 || got.Verdict != report.NothingSent {
		t.Errorf("error %v, %d requests, verdict %s", err, got.Requests, got.Verdict)
	}
}
