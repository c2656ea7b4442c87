package probe

import (
	"maps"
	"slices"
	"sort"
	"time"

	"gapless.dev/gapless/internal/report"
)

// gaps merges lost requests into stretches by the times at which they were due, whatever
// the order in which the losses became known. Losses at most two intervals apart are one
// gap: between them at most one request was answered.
type gaps struct {
	interval time.Duration
	list     []gap // sorted, and never close enough to be merged
}

type gap struct {
	first, last time.Duration // due times
	lost        int
	losses      map[string]int
}

func (g *gaps) add(due time.Duration, class string) {
	// Nearly always at or near the end.
	i := sort.Search(len(g.list), func(i int) bool { return g.list[i].first > due })
	if i > 0 && g.near(g.list[i-1].last, due) {
		i--
		g.list[i].last = max(g.list[i].last, due)
	} else if i < len(g.list) && g.near(due, g.list[i].first) {
		g.list[i].first = due
	} else {
		g.list = slices.Insert(g.list, i, gap{first: due, last: due, losses: map[string]int{}})
	}
	g.list[i].lost++
	g.list[i].losses[class]++
	if i+1 < len(g.list) && g.near(g.list[i].last, g.list[i+1].first) {
		g.join(i)
	}
}

// join merges a gap with the next one, which the last loss brought near.
func (g *gaps) join(i int) {
	a, b := &g.list[i], g.list[i+1]
	a.last = b.last
	a.lost += b.lost
	for class, n := range b.losses {
		a.losses[class] += n
	}
	g.list = slices.Delete(g.list, i+1, i+2)
}

func (g *gaps) near(a, b time.Duration) bool {
	// Due times are rounded to the nanosecond.
	return b-a <= 2*g.interval+2
}

func (g *gaps) length(x gap) time.Duration { return x.last - x.first + g.interval }

func (g *gaps) longest() time.Duration {
	var longest time.Duration
	for _, x := range g.list {
		longest = max(longest, g.length(x))
	}
	return longest
}

func (g *gaps) report() []report.Gap {
	const most = 1000
	var out []report.Gap
	for _, x := range g.list[:min(len(g.list), most)] {
		out = append(out, report.Gap{
			Start:  report.Millis(x.first),
			Length: report.Millis(g.length(x)),
			Lost:   x.lost,
			Losses: maps.Clone(x.losses),
		})
	}
	return out
}
