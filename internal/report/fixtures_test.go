package report_test

import (
	"fmt"
	"math"
	"strings"
	"time"

	"gapless.dev/gapless/internal/report"
)

var began = time.Date(2026, 11, 23, 22, 14, 3, 0, time.UTC)

func at(seconds float64) time.Time {
	return began.Add(time.Duration(seconds * float64(time.Second)))
}

func ms(n float64) report.Millis { return report.Millis(n * float64(time.Millisecond)) }

// traffic makes 300 requests/s in buckets of 200 ms. weight is the candidate's share (0 to 1)
// and lost the share of requests lost, each at a time in seconds.
func traffic(seconds float64, weight, lost func(float64) float64) *report.Traffic {
	t := &report.Traffic{
		URL: "http://api.localhost:8080/v1/users", Rate: 300, Started: began, Elapsed: ms(seconds * 1000),
		Versions: map[string]int{}, Losses: map[string]int{}, Bucket: 200 * report.Millis(time.Millisecond),
		Latency:       report.Quantiles{P50: ms(0.412), P99: ms(3.1), Max: ms(21)},
		ScheduleError: report.Quantiles{P50: ms(0.2), P99: ms(0.9), Max: ms(4.4)},
	}
	const each = 60
	var owed float64
	for i := range int(math.Round(seconds * 5)) {
		s := float64(i) / 5
		b := report.Bucket{Start: ms(s * 1000), Versions: map[string]int{}}
		b.Lost = int(math.Round(each * lost(s)))
		owed += float64(each-b.Lost) * weight(s)
		two := int(owed)
		owed -= float64(two)
		if one := each - b.Lost - two; one > 0 {
			b.Versions["1.0.0"] = one
		}
		if two > 0 {
			b.Versions["2.0.0"] = two
		}
		for v, n := range b.Versions {
			t.Versions[v] += n
		}
		if b.Lost > 0 {
			b.Losses = map[string]int{"refused": b.Lost}
			t.Losses["refused"] += b.Lost
			if n := len(t.Gaps); n > 0 && t.Gaps[n-1].Start+t.Gaps[n-1].Length >= b.Start {
				t.Gaps[n-1].Length = b.Start + t.Bucket - t.Gaps[n-1].Start
				t.Gaps[n-1].Lost += b.Lost
				t.Gaps[n-1].Losses["refused"] += b.Lost
			} else {
				t.Gaps = append(t.Gaps, report.Gap{Start: b.Start, Length: t.Bucket, Lost: b.Lost, Losses: map[string]int{"refused": b.Lost}})
			}
			if len(t.Examples) == 0 {
				t.Examples = []report.Loss{{
					At: b.Start, After: ms(0.3), ID: "a1b2c3d4e5-1200", Class: "refused",
					Error: "dial tcp 127.0.0.1:8080: connect: connection refused", Method: "GET", Protocol: "HTTP/1.1", Connection: "new",
				}}
			}
		}
		t.Lost += b.Lost
		t.Requests += each
		t.Timeline = append(t.Timeline, b)
	}
	for _, g := range t.Gaps {
		t.LongestGap = max(t.LongestGap, g.Length)
	}
	t.Verdict = report.NoneLost
	if t.Lost > 0 {
		t.Verdict = report.SomeLost
	}
	t.LossBelow, t.Bound = report.LossBound(t.Requests, t.Lost)
	t.Connections = map[string]int{"new": t.Requests / 2, "reused": t.Requests - t.Requests/2}
	t.Protocols = map[string]int{"HTTP/1.1": t.Requests}
	t.Methods = map[string]int{"GET": t.Requests * 4 / 5, "POST": t.Requests / 5}
	return t
}

func never(float64) float64 { return 0 }

// canary is a promoted revision without a loss.
func canary() report.Report {
	weight := func(s float64) float64 {
		switch {
		case s < 8:
			return 0
		case s < 18:
			return 0.25
		case s < 28:
			return 0.5
		}
		return 1
	}
	return report.Report{
		App: "demo-api", Revision: 4, Strategy: "canary", From: "1.0.0", To: "2.0.0",
		Phase: "Idle", Steps: 2, Weight: 100, At: at(41), Started: at(3.2), Ended: at(36.4),
		Outcome: report.Promoted, Reason: "Promoted", Message: "2.0.0 is stable; 1.0.0 has drained and is gone.",
		Phases: []report.Span{
			{Name: "Preparing", Start: at(3.2), End: at(8)},
			{Name: "Shifting", Step: 1, Weight: 25, Start: at(8), End: at(18)},
			{Name: "Shifting", Step: 2, Weight: 50, Start: at(18), End: at(28)},
			{Name: "Promoting", Start: at(28), End: at(31)},
			{Name: "Finishing", Start: at(31), End: at(36.4)},
		},
		Decisions: []report.Entry{
			{At: at(3.2), Phase: "Preparing", Reason: "CandidateGrowing", Message: "2.0.0 gets 1 instance; it receives no traffic yet."},
			{At: at(8), Phase: "Shifting", Reason: "StepStarted", Message: "Step 1 of 2: 25 % of the traffic goes to 2.0.0."},
			{At: at(18), Phase: "Shifting", Reason: "StepStarted", Message: "Step 2 of 2: 50 % of the traffic goes to 2.0.0.", By: "maria"},
			{At: at(28), Phase: "Promoting", Reason: "Promoting", Message: "All steps held; all traffic goes to 2.0.0."},
			{At: at(31), Phase: "Finishing", Reason: "Draining", Message: "Weight 0 of 1.0.0 has arrived; it drains for 5 s."},
			{At: at(36.4), Phase: "Idle", Reason: "Promoted", Message: "2.0.0 is stable; 1.0.0 has drained and is gone."},
		},
		Converged: []report.Convergence{
			{At: at(8), What: "weights 1.0.0=75 2.0.0=25", Grade: "acknowledged", After: ms(2)},
			{At: at(18), What: "weights 1.0.0=50 2.0.0=50", Grade: "acknowledged", After: ms(1.4)},
			{At: at(28.1), What: "weights 2.0.0=100", Grade: "seen", After: ms(96)},
		},
		Gates: []report.Gate{
			{Name: "hours", At: "beforeStart", Outcome: "pass", Reason: "open: Mon Tue Wed 09:00-17:00 (Europe/Berlin)", Asked: at(3.2), Answered: at(3.2)},
			{
				Name: "errors", At: "step", Step: 1, Outcome: "pass", Reason: "the candidate is not worse than stable",
				Detail:  "0 of 750 (0.00 %) of the candidate's requests against 2 of 2250 (0.09 %) of stable's are bad",
				Numbers: map[string]float64{"candidate_total": 750, "stable_total": 2250, "stable_bad": 2}, Asked: at(8), Answered: at(18),
			},
			{Name: "latency", At: "step", Step: 1, Outcome: "fail", Reason: "answers slower than 12ms: 80 of 300 (26.67 %) of the candidate's", DryRun: true, Asked: at(8), Answered: at(18)},
			{Name: "people", At: "beforePromotion", Outcome: "inconclusive", Reason: "no answer: status 502 (4 tries)", WaivedBy: "maria", Asked: at(26), Answered: at(28)},
		},
		Versions: []report.Version{
			{Name: "2.0.0", Role: "stable", Weight: 100, Desired: 3, Running: 3, Ready: 3, Instances: []report.Instance{
				{Name: "2.0.0-1", Pid: 4711, Address: "127.0.0.1:41001", State: "Ready", Since: at(3.3)},
			}},
		},
		Traffic: traffic(41, weight, never),
	}
}

// recreated is a revision that shows its downtime.
func recreated() report.Report {
	gone := func(s float64) float64 {
		if s >= 5 && s < 8.4 {
			return 1
		}
		return 0
	}
	after := func(s float64) float64 {
		if s > 8 {
			return 1
		}
		return 0
	}
	return report.Report{
		App: "demo-api", Label: "recreate, naive", Revision: 1, Strategy: "recreate", From: "1.0.0", To: "2.0.0",
		Phase: "Idle", Weight: 100, At: at(15), Started: at(3), Ended: at(10), Outcome: report.Promoted,
		Reason: "Promoted", Message: "2.0.0 is stable.",
		Phases: []report.Span{
			{Name: "Preparing", Start: at(3), End: at(5)},
			{Name: "Promoting", Start: at(5), End: at(8.5)},
			{Name: "Finishing", Start: at(8.5), End: at(10)},
		},
		Traffic: traffic(15, after, gone),
	}
}

// aborted is a candidate that died at 25 %, with a few losses.
func aborted() report.Report {
	weight := func(s float64) float64 {
		if s >= 6 && s < 12 {
			return 0.25
		}
		return 0
	}
	lost := func(s float64) float64 {
		if s >= 11.8 && s < 12.2 {
			return 0.1
		}
		return 0
	}
	r := report.Report{
		App: "demo-api", Revision: 5, Strategy: "canary", From: "1.0.0", To: "2.0.0",
		Images: map[string][]string{"1.0.0": {"app registry.example.org/api@sha256:" + strings.Repeat("1a", 32)}, "2.0.0": {"app registry.example.org/api@sha256:" + strings.Repeat("5e", 32)}},
		Source: &report.Source{Repository: "https://git.example.org/shop/api.git", Tag: "v2.0.0", Commit: "8f2c1de0b7a94e6d5c3b2a190817263544f0e1d2", Digest: "sha256:" + strings.Repeat("5e", 32), SignedBy: "SSH SHA256:abc"},
		Phase:  "Idle", At: at(20), Started: at(2), Ended: at(15), Outcome: report.Aborted,
		Reason: "CandidateFailed", Message: "2.0.0 lost its last instance at 25 %: exit status 2. Stable serves all traffic.",
		Phases: []report.Span{
			{Name: "Preparing", Start: at(2), End: at(6)},
			{Name: "Shifting", Step: 1, Weight: 25, Start: at(6), End: at(12)},
			{Name: "Aborting", Start: at(12), End: at(15)},
		},
		Decisions: []report.Entry{
			{At: at(2), Phase: "Preparing", Reason: "CandidateGrowing", Message: "2.0.0 gets 1 instance."},
			{At: at(12), Phase: "Aborting", Reason: "CandidateFailed", Message: "2.0.0 lost its last instance at 25 %."},
		},
		Versions: []report.Version{
			{
				Name: "1.0.0", Role: "stable", Weight: 100, Desired: 3, Running: 3, Ready: 3,
				Counts: &report.Counts{Requests: 5540, Latency: ms(0.3)},
			},
			{
				Name: "2.0.0", Role: "candidate", Desired: 1, InFlight: -1, Failure: "exit status 2 after 6.1 s",
				Counts: &report.Counts{Requests: 460, Errors: 12, Retried: 3, Latency: ms(0.5), Mirrored: 20, MirrorDiffers: 1},
			},
		},
		Traffic: traffic(20, weight, lost),
		Notes:   []string{"12 requests were in flight on 2.0.0 when it died; they are the ones counted as lost."},
	}
	r.Gates = []report.Gate{{Name: "errors", At: "step", Step: 1, Outcome: "fail", Reason: "12 of 460 (2.61 %) of the candidate's requests against 0 of 5540 (0.00 %) of stable's are bad", Asked: at(6), Answered: at(12)}}
	for i := range 6 {
		r.Logs = append(r.Logs, fmt.Sprintf("22:14:%02d panic: <nil> & %d goroutines", 9+i, i))
	}
	return r
}

// probed is a probe alone.
func probed() report.Report {
	t := traffic(10, never, func(s float64) float64 {
		if s == 4 {
			return 1.0 / 60
		}
		return 0
	})
	t.Warnings = []string{"1 request in 100 started more than 12ms late: the prober's machine was too busy to keep the schedule."}
	t.Marks = []report.Mark{{At: ms(3000), Name: "restart"}}
	return report.OfProbe(*t)
}
