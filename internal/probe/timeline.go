package probe

import (
	"maps"
	"time"

	"gapless.dev/gapless/internal/report"
)

// timeline counts over time in cells of one width. It keeps a bounded number of cells: a
// run that goes on gets wider ones.
type timeline struct {
	width time.Duration
	rate  float64
	cells []cell
}

type cell struct {
	versions map[string]int
	losses   map[string]int
	lost     int
}

func (c *cell) answered(version string) {
	if c.versions == nil {
		c.versions = map[string]int{}
	}
	c.versions[version]++
}

func (c *cell) lose(class string) {
	if c.losses == nil {
		c.losses = map[string]int{}
	}
	c.losses[class]++
	c.lost++
}

func (c *cell) add(o cell) {
	for version, n := range o.versions {
		if c.versions == nil {
			c.versions = map[string]int{}
		}
		c.versions[version] += n
	}
	for class, n := range o.losses {
		if c.losses == nil {
			c.losses = map[string]int{}
		}
		c.losses[class] += n
	}
	c.lost += o.lost
}

const (
	finest    = 50 * time.Millisecond
	mostCells = 8192
)

// Each kept width divides the next, so that cells can be merged whole.
var keptWidths = []time.Duration{
	finest, 100 * time.Millisecond, 200 * time.Millisecond, time.Second, 2 * time.Second,
	10 * time.Second, 20 * time.Second, time.Minute, 2 * time.Minute, 10 * time.Minute, time.Hour,
}

// Reported widths are those that read well.
var shownWidths = []time.Duration{
	finest, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second,
	10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour,
}

func (t *timeline) at(due time.Duration) *cell {
	for due/t.width >= mostCells && t.width < keptWidths[len(keptWidths)-1] {
		t.widen()
	}
	i := int(max(0, due) / t.width)
	for len(t.cells) <= i {
		t.cells = append(t.cells, cell{})
	}
	return &t.cells[i]
}

func (t *timeline) widen() {
	for _, w := range keptWidths {
		if w > t.width {
			t.cells = merge(t.cells, int(w/t.width))
			t.width = w
			return
		}
	}
}

func merge(cells []cell, n int) []cell {
	merged := make([]cell, (len(cells)+n-1)/n)
	for i, c := range cells {
		merged[i/n].add(c)
	}
	return merged
}

// report returns at most about 150 buckets, each wide enough to hold five requests.
func (t *timeline) report(elapsed time.Duration) (time.Duration, []report.Bucket) {
	want := elapsed / 150
	if t.rate > 0 {
		want = max(want, time.Duration(5*float64(time.Second)/t.rate))
	}
	width := t.width
	for _, w := range shownWidths {
		if w >= want && w%t.width == 0 {
			width = w
			break
		}
	}
	cells := merge(t.cells, int(width/t.width))
	buckets := make([]report.Bucket, len(cells))
	for i, c := range cells {
		buckets[i] = report.Bucket{
			Start:    report.Millis(time.Duration(i) * width),
			Versions: c.versions,
			Lost:     c.lost,
			Losses:   c.losses,
		}
	}
	return width, buckets
}

// lastSecond counts what was due in the second that ended a moment ago, so that its
// requests are over. Cells wider than a second are scaled down.
func (t *timeline) lastSecond(now time.Duration) (versions map[string]int, lost int) {
	const settle = 100 * time.Millisecond
	last := int((now-settle)/t.width) - 1
	n := max(1, int(time.Second/t.width))
	var sum cell
	for i := max(0, last-n+1); i <= last && i < len(t.cells); i++ {
		sum.add(t.cells[i])
	}
	if t.width <= time.Second {
		return sum.versions, sum.lost
	}
	seconds := int(t.width / time.Second)
	versions = maps.Clone(sum.versions)
	for v := range versions {
		versions[v] /= seconds
	}
	return versions, sum.lost / seconds
}
