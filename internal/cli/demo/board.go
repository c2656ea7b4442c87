package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gapless.dev/gapless/internal/cli/live"
	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/probe"
	evidence "gapless.dev/gapless/internal/report"
)

// A board holds what is known while the demo runs. It is written by the runs and read by whoever shows it.
type board struct {
	opts  Options
	cells []cell
	paint paint.Palette

	mu      sync.Mutex
	done    []Result
	current int
	probe   *probe.Probe
	report  evidence.Report
	// finished is told each result, once.
	finished func(Result)
}

func newBoard(o Options, cells []cell, c paint.Palette) *board {
	return &board{opts: o, cells: cells, paint: c, current: -1, finished: func(Result) {}}
}

func (b *board) begin(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current, b.probe, b.report = i, nil, evidence.Report{}
}

func (b *board) probing(p *probe.Probe) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probe = p
}

func (b *board) reporting(r evidence.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.report = r
}

func (b *board) end(r Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = append(b.done, r)
	b.current, b.probe = -1, nil
	b.finished(r)
}

func (b *board) results() []Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.done)
}

// picture takes what is known now.
func (b *board) picture() picture {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := picture{opts: b.opts, cells: b.cells, done: slices.Clone(b.done), current: b.current, report: b.report, paint: b.paint}
	if b.probe != nil {
		p.traffic, p.live = b.probe.Traffic(), b.probe.Live()
	}
	return p
}

// showing is a display under way.
type showing struct {
	ctx  context.Context
	stop func()
	left func() bool
}

// show keeps a live view on a terminal; elsewhere it writes a line for each run.
func show(ctx context.Context, sh *shell.Shell, b *board) showing {
	if !sh.Interactive() {
		b.finished = func(r Result) { sh.Warn("%s", strings.TrimSpace(line(r))) }
		return showing{ctx, func() {}, func() bool { return false }}
	}
	ctx, cancel := context.WithCancel(ctx)
	again, over, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(again)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				select {
				case again <- struct{}{}:
				case <-over:
					return
				}
			case <-over:
				return
			}
		}
	}()
	left := false
	go func() {
		// The view does not end with ctx: it goes on showing while what was started is stopped.
		err := live.Run(context.WithoutCancel(ctx), sh.In, sh.Out, live.View{
			Draw:  func(width, _ int) string { return draw(b.picture(), width) },
			Again: again,
		})
		if errors.Is(err, live.ErrLeft) {
			left = true
			cancel()
			sh.Warn("stopping what was started ...")
		}
		// Nobody takes the changes any more.
		go func() {
			for range again {
			}
		}()
		ended <- err
	}()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			close(over)
			<-ended
			cancel()
		})
	}
	return showing{ctx, stop, func() bool { return left }}
}

func line(r Result) string {
	return fmt.Sprintf("%-10s  %-8s  %s  %s", r.Strategy, r.Service, r.Traffic.Headline(), r.Traffic.Sparkline(sparkCells))
}
