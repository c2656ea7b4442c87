package kit

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// tasks is the work that is not a request: workers and what Track was told of.
type tasks struct {
	mu      sync.Mutex
	running map[*task]struct{}
}

type task struct {
	name   string
	cancel context.CancelFunc // nil for a worker, whose context ends with the drain's start
}

// start counts one piece of work until its done is called, once or more often.
func (t *tasks) start(ctx context.Context, name string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	one := &task{name, cancel}
	t.mu.Lock()
	if t.running == nil {
		t.running = make(map[*task]struct{})
	}
	t.running[one] = struct{}{}
	t.mu.Unlock()
	return ctx, func() {
		cancel()
		t.mu.Lock()
		delete(t.running, one)
		t.mu.Unlock()
	}
}

func (t *tasks) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.running)
}

// names of what is running, sorted.
func (t *tasks) names() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for one := range t.running {
		names = append(names, one.name)
	}
	slices.Sort(names)
	return names
}

// cancel ends the contexts of all that runs: the last word.
func (t *tasks) cancel() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for one := range t.running {
		one.cancel()
	}
}

type worker struct {
	name string
	run  func(context.Context) error
}

// Go runs f from when the service is ready. Its context ends when the drain
// starts: f stops fetching, ends its current item and returns; the service
// waits for it as for a request. An error of f before that stops the service
// (exit code 1), nil does not.
func (s *Service) Go(name string, f func(context.Context) error) {
	s.workers = append(s.workers, worker{name, f})
}

func (s *Service) startWorkers() {
	for _, w := range s.workers {
		ctx, done := s.tasks.start(s.work, w.name)
		go func() {
			defer done()
			err := w.run(ctx)
			if err == nil || ctx.Err() != nil {
				return
			}
			s.fail(fmt.Errorf("worker %s: %w", w.name, err))
		}()
	}
}

type closer struct {
	name  string
	close func(context.Context) error
}

// OnStop calls f when nothing is in flight any more. Hooks run in reverse
// order of registration, so what is registered first, and all else depends on,
// is closed last.
func (s *Service) OnStop(name string, f func() error) {
	s.OnStopContext(name, func(context.Context) error { return f() })
}

// OnStopContext is [Service.OnStop] for an f that wants to know how long it
// may take. A hook that takes longer is left behind and reported.
func (s *Service) OnStopContext(name string, f func(context.Context) error) {
	s.closers = append(s.closers, closer{name, f})
}

// reserve is kept from a slow hook for each one after it.
const reserve = 100 * time.Millisecond

// runClosers calls the hooks in reverse, each with the time that remains.
func (s *Service) runClosers(deadline time.Time) []ClosedHook {
	var report []ClosedHook
	for i, c := range slices.Backward(s.closers) {
		began := time.Now()
		ctx, cancel := context.WithDeadline(s.hookContext(), deadline.Add(-time.Duration(i)*reserve))
		err := callWithin(ctx, c.close)
		cancel()
		entry := ClosedHook{Name: c.name, TookMs: time.Since(began).Milliseconds()}
		if err != nil {
			entry.Error = err.Error()
			s.log.Error("on stop", "hook", c.name, "error", err)
		}
		report = append(report, entry)
	}
	return report
}

// hookContext carries the service, and is not cut with the requests.
func (s *Service) hookContext() context.Context { return context.WithoutCancel(s.base) }

// callWithin returns when f does or when ctx ends, whichever is first.
func callWithin(ctx context.Context, f func(context.Context) error) error {
	result := make(chan error, 1)
	go func() { result <- f(ctx) }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	// It may have heard ctx itself, and have something better to say.
	select {
	case err := <-result:
		return err
	case <-time.After(reserve / 2):
		return fmt.Errorf("no answer in time: %w", context.Cause(ctx))
	}
}
