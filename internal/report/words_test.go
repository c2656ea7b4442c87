package report

import (
	"math"
	"testing"
	"time"
)

func TestShort_SaysWhatAReaderNeeds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                     "0 ms",
		420 * time.Microsecond:                "0.42 ms",
		3333 * time.Microsecond:               "3.3 ms",
		21 * time.Millisecond:                 "21 ms",
		999600 * time.Microsecond:             "1.0 s",
		12345 * time.Millisecond:              "12.3 s",
		245 * time.Second:                     "4m05s",
		3*time.Hour + 61*time.Second:          "3h01m",
		-1500 * time.Millisecond:              "-1.5 s",
		59*time.Second + 960*time.Millisecond: "1m00s",
	} {
		if got := Short(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestLossBound_FollowsTheRuleOfThreeAndThePoissonLimit(t *testing.T) {
	if share, _ := LossBound(3000, 0); share != 0.001 {
		t.Errorf("0 of 3000 bounds %v", share)
	}
	// One-sided 95 % limits from tables of the chi-square distribution.
	for k, want := range map[int]float64{1: 4.744, 2: 6.296, 5: 10.513, 10: 16.962, 100: 118.08} {
		share, _ := LossBound(1e6, k)
		if got := share * 1e6; math.Abs(got-want)/want > 0.01 {
			t.Errorf("%d losses: limit %.3f, want %.3f", k, got, want)
		}
	}
}

func TestSparkline_AlternatesInProportion(t *testing.T) {
	var tr Traffic
	for i := range 40 {
		b := Bucket{Versions: map[string]int{"1.0.0": 75, "2.0.0": 25}}
		switch {
		case i < 10:
			b.Versions = map[string]int{"1.0.0": 100}
		case i >= 38:
			b = Bucket{Lost: 100}
		}
		tr.Timeline = append(tr.Timeline, b)
	}
	if got, want := tr.Sparkline(40), "1111111111112111211121112111211121112.."; len(got) != 40 || got[:10] != want[:10] || got[38:] != ".." {
		t.Errorf("%q", got)
	}
	twos := 0
	for _, c := range tr.Sparkline(40) {
		if c == '2' {
			twos++
		}
	}
	if twos != 7 {
		t.Errorf("%d of 28 cells show a version with a quarter of the traffic", twos)
	}
}

func TestStanding_CountsFromTheStepNotFromTheRevision(t *testing.T) {
	began := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	after := func(s float64) time.Time { return began.Add(time.Duration(s * float64(time.Second))) }
	preparing := Span{Name: "Preparing", Start: began, End: after(12.1)}
	for want, r := range map[string]Report{
		"Preparing for 3.0 s":                           {Phase: "Preparing", At: after(3), Phases: []Span{{Name: "Preparing", Start: began}}},
		"Shifting, step 2 of 2 at 50 % for 11.7 s":      {Phase: "Shifting", Step: 2, Steps: 2, Weight: 50, At: after(23.8), Phases: []Span{preparing, {Name: "Shifting", Step: 2, Weight: 50, Start: after(12.1)}}},
		"Finishing for 400 ms, paused by maria":         {Phase: "Finishing", PausedBy: "maria", At: after(12.5), Phases: []Span{preparing, {Name: "Finishing", Start: after(12.1)}}},
		"Shifting, step 1 of 2 at 25 %, paused by bert": {Phase: "Shifting", Step: 1, Steps: 2, Weight: 25, PausedBy: "bert", At: after(20), Phases: []Span{preparing}},
	} {
		r.Started, r.Outcome = began, Running
		if got := r.Standing(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	r := Report{Started: began, Ended: after(23.8), From: "1.0.0", Outcome: Promoted, Phases: []Span{preparing}}
	if got, want := r.Standing(), "Promoted after 23.8 s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
