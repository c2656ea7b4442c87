package probe

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/report"
)

func TestGaps_MergeByTheTimesAtWhichRequestsWereDue(t *testing.T) {
	const interval = 10 * time.Millisecond
	tests := map[string]struct {
		reason string
		lost   []int // numbers of the lost requests
		want   []report.Gap
	}{
		"none": {"nothing lost is no gap", nil, nil},
		"one": {
			"one loss lasts until the next request could be answered",
			[]int{7},
			[]report.Gap{gapOf(7, 1, 1)},
		},
		"two intervals": {
			"one answer between two losses does not end a gap",
			[]int{1, 3},
			[]report.Gap{gapOf(1, 3, 2)},
		},
		"three intervals": {
			"two answers do",
			[]int{1, 4},
			[]report.Gap{gapOf(1, 1, 1), gapOf(4, 1, 1)},
		},
		"out of order": {
			"timeouts are known after later refusals",
			[]int{9, 8, 1, 3, 2},
			[]report.Gap{gapOf(1, 3, 3), gapOf(8, 2, 2)},
		},
		"joined late": {
			"a loss between two gaps makes them one",
			[]int{1, 5, 3},
			[]report.Gap{gapOf(1, 5, 3)},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := gaps{interval: interval}
			for _, n := range test.lost {
				g.add(time.Duration(n)*interval, "refused")
			}
			if diff := cmp.Diff(test.want, g.report()); diff != "" {
				t.Errorf("%s:\n%s", test.reason, diff)
			}
		})
	}
}

func gapOf(first, intervals, lost int) report.Gap {
	return report.Gap{
		Start:  report.Millis(time.Duration(first) * 10 * time.Millisecond),
		Length: report.Millis(time.Duration(intervals) * 10 * time.Millisecond),
		Lost:   lost, Losses: map[string]int{"refused": lost},
	}
}

func TestGaps_AreTheSameInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var lost []time.Duration
		for i := range 300 {
			if random.IntN(3) == 0 {
				lost = append(lost, time.Duration(i)*time.Millisecond)
			}
		}
		inOrder, shuffled := gaps{interval: time.Millisecond}, gaps{interval: time.Millisecond}
		for _, due := range lost {
			inOrder.add(due, "timeout")
		}
		random.Shuffle(len(lost), func(i, j int) { lost[i], lost[j] = lost[j], lost[i] })
		for _, due := range lost {
			shuffled.add(due, "timeout")
		}
		if diff := cmp.Diff(inOrder.report(), shuffled.report()); diff != "" {
			t.Fatalf("losses at %v:\n%s", lost, diff)
		}
	}
}
