package probe

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gapless.dev/gapless/internal/report"
	"gapless.dev/kit/load"
)

// tally adds results up. Results come in the order in which they end; everything that has
// a time is filed under the time at which the request was due.
type tally struct {
	requests, lost int
	versions       map[string]int
	losses         map[string]int
	connections    map[string]int
	protocols      map[string]int
	methods        map[string]int
	latency        *hdrhistogram.Histogram
	late           *hdrhistogram.Histogram
	gaps           gaps
	timeline       timeline
	examples       examples
}

func newTally(s load.Schedule) *tally {
	interval := time.Duration(0)
	if s.Rate > 0 {
		interval = s.Interval()
	}
	return &tally{
		versions:    map[string]int{},
		losses:      map[string]int{},
		connections: map[string]int{},
		protocols:   map[string]int{},
		methods:     map[string]int{},
		latency:     newHistogram(),
		late:        newHistogram(),
		gaps:        gaps{interval: interval},
		timeline:    timeline{width: finest, rate: s.Rate},
	}
}

func (t *tally) add(due time.Duration, r load.Result) {
	t.requests++
	if r.Class != load.Overload {
		record(t.late, r.Started.Sub(r.Scheduled))
		t.connections[connection(r)]++
		t.protocols[r.Proto]++
		t.methods[r.Method]++
	}
	if !r.Class.Lost() {
		version := t.name(r.Version)
		t.versions[version]++
		t.timeline.at(due).answered(version)
		record(t.latency, r.Latency())
		return
	}
	t.lost++
	t.losses[string(r.Class)]++
	t.timeline.at(due).lose(string(r.Class))
	t.gaps.add(due, string(r.Class))
	t.examples.add(due, r)
}

// name keeps a body pattern that matches something unique from filling the memory.
func (t *tally) name(version string) string {
	const most = 32
	if _, known := t.versions[version]; known || len(t.versions) < most {
		return version
	}
	return "(others)"
}

func connection(r load.Result) string {
	if r.Reused {
		return "reused"
	}
	return "new"
}

func (t *tally) traffic(elapsed time.Duration) report.Traffic {
	below, bound := report.LossBound(t.requests, t.lost)
	verdict := report.NoneLost
	switch {
	case t.requests == 0:
		verdict = report.NothingSent
	case t.lost > 0:
		verdict = report.SomeLost
	}
	width, buckets := t.timeline.report(elapsed)
	return report.Traffic{
		Elapsed:       report.Millis(elapsed),
		Requests:      t.requests,
		Lost:          t.lost,
		LongestGap:    report.Millis(t.gaps.longest()),
		Versions:      maps.Clone(t.versions),
		Losses:        maps.Clone(t.losses),
		Latency:       quantiles(t.latency),
		Verdict:       verdict,
		LossBelow:     below,
		Bound:         bound,
		ScheduleError: quantiles(t.late),
		Connections:   maps.Clone(t.connections),
		Protocols:     maps.Clone(t.protocols),
		Methods:       maps.Clone(t.methods),
		Bucket:        report.Millis(width),
		Timeline:      buckets,
		Gaps:          t.gaps.report(),
		Examples:      t.examples.report(),
	}
}

// newHistogram holds microseconds up to ten minutes with three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (10 * time.Minute).Microseconds(), 3)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	us := min(max(d.Microseconds(), 0), h.HighestTrackableValue())
	// In range by construction, so there is no error.
	_ = h.RecordValue(us)
}

func quantiles(h *hdrhistogram.Histogram) report.Quantiles {
	if h.TotalCount() == 0 {
		return report.Quantiles{}
	}
	at := func(us int64) report.Millis { return report.Millis(time.Duration(us) * time.Microsecond) }
	return report.Quantiles{
		P50: at(h.ValueAtQuantile(50)),
		P99: at(h.ValueAtQuantile(99)),
		Max: at(h.Max()),
	}
}

// examples keeps the first loss of each class, and the first of all.
type examples struct {
	list []report.Loss
	seen map[string]bool
}

const mostExamples = 20

func (e *examples) add(due time.Duration, r load.Result) {
	class := string(r.Class)
	// Room is left for one of each class.
	if e.seen[class] && len(e.list)+len(load.Classes)-len(e.seen) >= mostExamples {
		return
	}
	if e.seen == nil {
		e.seen = map[string]bool{}
	}
	e.seen[class] = true
	e.list = append(e.list, report.Loss{
		At:         report.Millis(due),
		After:      report.Millis(r.Ended.Sub(r.Scheduled)),
		ID:         r.ID,
		Class:      class,
		Error:      r.Err,
		Status:     r.Status,
		Method:     r.Method,
		Protocol:   r.Proto,
		Connection: connection(r),
	})
}

func (e *examples) report() []report.Loss {
	list := slices.Clone(e.list)
	slices.SortStableFunc(list, func(a, b report.Loss) int { return cmp.Compare(a.At, b.At) })
	return list
}
