package kit

import (
	"context"
	"errors"
	"sync"
	"time"
)

// recoverAfter is how many checks in a row must pass for a dependency that was
// down to be up again.
const recoverAfter = 2

// dependency is something the service needs, watched in the background so that
// no health check ever waits for it.
type dependency struct {
	name      string
	check     func(context.Context) error
	every     time.Duration
	timeout   time.Duration
	failAfter int
	required  bool

	busy chan struct{} // holds a token while a check runs

	mu    sync.Mutex
	state depState
}

// depState is the cached answer, with its hysteresis.
type depState struct {
	down   bool
	wasUp  bool // a check has passed
	streak int  // results in a row that speak against down, or for it
	err    error
	at     time.Time // of the last check; zero before it
}

// next is the state after one more result.
func (st depState) next(err error, at time.Time, failAfter int) depState {
	after := depState{down: st.down, wasUp: st.wasUp || err == nil, err: err, at: at}
	if asBefore := st.down == (err != nil); asBefore {
		return after
	}
	needed := failAfter
	if st.down {
		needed = recoverAfter
		if !st.wasUp {
			needed = 1
		}
	}
	after.streak = st.streak + 1
	if after.streak >= needed {
		after.down, after.streak = !st.down, 0
	}
	return after
}

// Dependency watches something the service needs: check runs every 10 s with a
// timeout of 1 s, in the background; its last result is what /readyz and
// /statusz tell. Down after three failures in a row, up again after two passes.
// A dependency that is down degrades the service, which says so and stays
// ready, unless it is [Required].
func (s *Service) Dependency(name string, check func(ctx context.Context) error, opts ...DependencyOption) {
	d := &dependency{
		name: name, check: check,
		every: 10 * time.Second, timeout: time.Second, failAfter: 3,
	}
	for _, opt := range opts {
		opt(d)
	}
	d.busy = make(chan struct{}, 1)
	d.state.down = d.required // until the first check has passed
	s.deps = append(s.deps, d)
}

// watchDependencies starts a watcher each; they end with the service's context.
func (s *Service) watchDependencies() *sync.WaitGroup {
	var watchers sync.WaitGroup
	for _, d := range s.deps {
		watchers.Go(func() { d.watch(s.base, s.readinessChanged) })
	}
	return &watchers
}

func (d *dependency) watch(ctx context.Context, changed func()) {
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	for {
		d.once(ctx)
		changed()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

var errStillRunning = errors.New("the check before this one has not returned")

// once checks once. A check that does not heed its context fails at the
// timeout, and until it returns there is no other beside it.
func (d *dependency) once(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	err := errStillRunning
	select {
	case d.busy <- struct{}{}:
		err = callWithin(limited, func(ctx context.Context) error {
			defer func() { <-d.busy }()
			return d.check(ctx)
		})
	default:
	}
	if ctx.Err() != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state = d.state.next(err, time.Now(), d.failAfter)
}

func (d *dependency) last() depState {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

func (d *dependency) up() bool { return !d.last().down }

// degraded names the dependencies that are down.
func (s *Service) degraded() []string {
	var names []string
	for _, d := range s.deps {
		if d.last().down {
			names = append(names, d.name)
		}
	}
	return names
}
