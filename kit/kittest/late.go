package kittest

import (
	"context"
	"sync"
	"time"
)

// watchLateness measures how late this machine is at the worst: on a busy one
// a moment in time says as much of the machine as of the service.
func watchLateness(ctx context.Context) func() time.Duration {
	const every = 10 * time.Millisecond
	var worst time.Duration
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := time.Now()
			worst = max(worst, now.Sub(last)-every)
			last = now
		}
	})
	return func() time.Duration {
		watching.Wait()
		return worst
	}
}

// timed runs f and returns how late this machine was meanwhile.
func (s *Session) timed(ctx context.Context, f func()) time.Duration {
	ctx, cancel := context.WithCancel(ctx)
	late := watchLateness(ctx)
	f()
	cancel()
	worst := late()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = max(s.late, worst)
	return worst
}

// fairly judges again what failed while this machine was too late itself.
func (s *Session) fairly(ctx context.Context, judge func() Result) (r Result) {
	for range tries {
		late := s.timed(ctx, func() { r = judge() })
		if r.Status != Fail || !s.tooLate(late) || ctx.Err() != nil {
			break
		}
	}
	return r
}

// tooLate is when nothing can be said any more of what was in time.
func (s *Session) tooLate(late time.Duration) bool { return late > s.Spec.drain()/8 }

// slack is what a moment in time may be off: what is declared, and twice what
// this machine was late, once for us and once for the service.
func (s *Session) slack(late time.Duration) time.Duration { return s.Spec.Tolerance + 2*late }
