// Package probe sends steady load to a service and counts what became of every request: by
// version, by class of loss, in gaps, and with what a result of that size proves.
//
// The load and the classes are kit/load's. The result is report.Traffic.
package probe

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"

	"gapless.dev/gapless/internal/report"
	"gapless.dev/kit/load"
)

// A Probe is one run. It can be watched from other goroutines while it runs.
type Probe struct {
	opts load.Options

	mu    sync.Mutex
	start time.Time
	end   time.Time // zero while running
	tally *tally
	marks []mark
}

type mark struct {
	at   time.Time
	name string
}

// New returns a probe that has not started. Wrong options are told by [Probe.Run].
func New(opts load.Options) *Probe {
	return &Probe{opts: opts, tally: newTally(opts.Schedule())}
}

// Run sends the load and returns what was counted. When ctx ends, the schedule ends early;
// requests under way are waited for and counted. Call it once.
func (p *Probe) Run(ctx context.Context) (report.Traffic, error) {
	start := time.Now()
	p.mu.Lock()
	p.start = start
	p.mu.Unlock()

	stopped := context.AfterFunc(ctx, func() { p.finish(time.Now()) })
	err := load.RunFrom(ctx, start, p.opts, func(r load.Result) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.tally.add(r.Scheduled.Sub(start), r)
	})
	stopped()
	end := start.Add(p.opts.For)
	if now := time.Now(); ctx.Err() != nil && (p.opts.For == 0 || now.Before(end)) {
		end = now
	}
	p.finish(end)
	return p.Traffic(), err
}

// finish notes when requests stopped being due: the first call counts.
func (p *Probe) finish(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end.IsZero() {
		p.end = at
	}
}

// Mark notes that something happened at a moment, such as the start of a phase. The
// moment may be before the start.
func (p *Probe) Mark(name string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marks = append(p.marks, mark{at, name})
}

// Traffic is what was counted so far. Requests under way are not in it.
func (p *Probe) Traffic() report.Traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tally.traffic(p.elapsed())
	t.URL = redacted(p.opts.URL)
	t.Rate = p.opts.Rate
	t.Started = p.start
	for _, m := range p.marks {
		t.Marks = append(t.Marks, report.Mark{At: report.Millis(m.at.Sub(p.start)), Name: m.name})
	}
	t.Warnings = warnings(t)
	return t
}

func (p *Probe) elapsed() time.Duration {
	switch {
	case p.start.IsZero():
		return 0
	case p.end.IsZero():
		return time.Since(p.start)
	}
	return p.end.Sub(p.start)
}

// Live is the state of a run at a glance.
type Live struct {
	// Elapsed is how long requests have been due, and For how long they will be (0: no end).
	Elapsed, For time.Duration
	// Requests and Lost count what is over.
	Requests, Lost int
	// PerSecond counts the requests that were due in the last whole second and were answered,
	// by version, and LostPerSecond those that were lost.
	PerSecond     map[string]int
	LostPerSecond int
	// LongestGap is the longest so far.
	LongestGap time.Duration
}

// Live returns the counts so far. It is cheap enough to be called many times a second.
func (p *Probe) Live() Live {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := Live{
		Elapsed:    p.elapsed(),
		For:        p.opts.For,
		Requests:   p.tally.requests,
		Lost:       p.tally.lost,
		LongestGap: p.tally.gaps.longest(),
	}
	l.PerSecond, l.LostPerSecond = p.tally.timeline.lastSecond(l.Elapsed)
	return l
}

// redacted keeps a password in the URL out of reports.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Redacted()
}

// warnings says what weakens the evidence.
func warnings(t report.Traffic) []string {
	var w []string
	const late = 10 * time.Millisecond
	if p99 := t.ScheduleError.P99.Duration(); p99 > late {
		w = append(w, fmt.Sprintf("1 request in 100 started more than %v late: the prober's machine was too busy to keep the schedule.", p99.Round(time.Millisecond)))
	}
	if n := t.Losses[string(load.Overload)]; n > 0 {
		w = append(w, fmt.Sprintf("%s requests were due and not sent, because too many were outstanding or this machine had no port or file left.", report.Count(n)))
	}
	return w
}
