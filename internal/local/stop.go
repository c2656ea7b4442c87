package local

import (
	"context"
	"time"
)

// stop ends the instance for good: out of rotation, the last answer, SIGTERM, grace, SIGKILL; then the helpers, last first. Each
// waits for the event before it, and the stop budget bounds it.
func (i *instance) stop(ctx context.Context) {
	i.drain(ctx)
	i.down(ctx)
	i.stopHelpers(ctx)
}

// stopHelpers ends the helpers, last first.
func (i *instance) stopHelpers(ctx context.Context) {
	for n := len(i.plate.Helpers) - 1; n >= 0; n-- {
		if p := i.helper(n); p != nil && !p.ended() && ctx.Err() == nil {
			p.terminate(ctx, i.svc.app.Stop.Grace)
		}
	}
}

// drain takes the instance out and waits until nothing is on it.
func (i *instance) drain(ctx context.Context) {
	var idle <-chan struct{}
	i.svc.set(func() {
		i.stage = draining
		if i.route != nil {
			idle = i.route.TakeOut()
		}
	})
	if idle == nil {
		return
	}
	bound := time.NewTimer(i.svc.app.Stop.Drain)
	defer bound.Stop()
	select {
	case <-idle:
	case <-i.main.done:
	case <-ctx.Done():
	case <-bound.C:
		i.svc.say("%s: still has %d requests after %v (stop.drain); it is asked to stop all the same", i.id, i.route.InFlight(), i.svc.app.Stop.Drain)
		i.svc.note("%s was asked to stop with %d requests on it: they took longer than %v (stop.drain).", i.id, i.route.InFlight(), i.svc.app.Stop.Drain)
	}
}

// retire ends the process to have it started again. Its helpers go on.
func (i *instance) retire(ctx context.Context) {
	i.drain(ctx)
	i.down(ctx)
}

// down ends the process.
func (i *instance) down(ctx context.Context) {
	p := i.process()
	if ctx.Err() != nil {
		return
	}
	i.svc.set(func() { i.stage = stopping })
	if p != nil && !p.ended() {
		if grace := i.svc.app.Stop.Grace; p.terminate(ctx, grace) && ctx.Err() == nil {
			i.svc.say("%s: did not end within %v after SIGTERM (stop.grace); SIGKILL ended it", i.id, grace)
			i.svc.note("%s did not end within %v after SIGTERM (stop.grace); SIGKILL ended it.", i.id, grace)
		}
	}
	if ctx.Err() == nil {
		i.offline()
	}
}
