package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/proxy"
	"gapless.dev/gapless/internal/rollout"
)

// A stage is where an instance stands. The words are those of report.Instance.State.
type stage string

const (
	starting  stage = "Starting"  // its process runs and is not ready yet
	ready     stage = "Ready"     // it is in rotation
	notReady  stage = "NotReady"  // it was ready, and says that it is not now
	draining  stage = "Draining"  // it is out of rotation for good, and answers what it has
	stopping  stage = "Stopping"  // it was asked to end
	crashLoop stage = "CrashLoop" // it has ended by itself, and waits to be started again
)

// An instance is one place for a process of a version, with its helpers. The process may come and go; the place stays until the
// version is scaled down. Its fields are guarded by its service's lock, but for those that only its own goroutine touches.
type instance struct {
	svc     *service
	id      string
	version rollout.Version
	plate   template

	stage    stage
	ports    map[string]int // by name, from its first start until it is gone
	main     *process
	helpers  []*process // by place in plate.Helpers; nil where it does not run
	route    *proxy.Instance
	restarts int
	trouble  string // why it is not well, for people; empty while it is
	failing  bool   // the loop was told of it
	leaving  bool   // it is to be stopped

	leave chan struct{} // closed when leaving is set
	gone  chan struct{} // closed when its goroutine has ended
}

func (i *instance) logFile() string           { return i.svc.logFile(i.id) }
func (i *instance) helperLog(h string) string { return i.svc.logFile(i.id + "." + h) }

// run brings the process up, keeps it up, and returns once the instance has left. When ctx ends it returns too, and touches nothing:
// then nobody is here any more, and the process goes on. adopted tells that the process runs already.
func (i *instance) run(ctx context.Context, adopted bool) {
	var pause time.Duration
	for {
		began := time.Now()
		var err error
		if !adopted {
			err = i.bringUp(ctx)
		}
		if err == nil {
			err = i.keep(ctx, adopted)
		}
		adopted = false
		if !errors.Is(err, errLeaving) && ctx.Err() == nil {
			pause = nextPause(pause, time.Since(began))
			i.crashed(err, pause)
			if i.rest(ctx, pause) {
				continue
			}
		}
		if ctx.Err() == nil {
			i.stop(ctx)
		}
		if ctx.Err() == nil {
			i.svc.drop(i)
		}
		close(i.gone)
		return
	}
}

var errLeaving = errors.New("it leaves")

// The back-off of restarts: it doubles, and is forgotten after a while of running.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
	steady     = time.Minute
)

// nextPause is how long to wait before the next start, of the pause before the last one and the time that it ran for.
func nextPause(last, ran time.Duration) time.Duration {
	if ran > steady {
		last = 0
	}
	return min(max(2*last, firstPause), lastPause)
}

// bringUp starts the helpers one after the other, each once the one before is ready, and then the process.
func (i *instance) bringUp(ctx context.Context) error {
	if err := i.takePorts(ctx); err != nil {
		return err
	}
	if err := i.svc.writeConfig(i.plate); err != nil {
		return err
	}
	for n, h := range i.plate.Helpers {
		if p := i.helper(n); p != nil && !p.ended() {
			continue // it outlived the process
		}
		if err := i.startHelper(ctx, n, h); err != nil {
			return fmt.Errorf("helper %s: %w", h.Name, err)
		}
	}
	p, err := start(i.command(i.plate.Command, nil, i.logFile()))
	if err != nil {
		return fmt.Errorf("cannot start %q: %w", i.plate.Command[0], err)
	}
	i.svc.set(func() {
		i.main, i.stage = p, starting
	})
	return nil
}

func (i *instance) startHelper(ctx context.Context, n int, h app.Helper) error {
	p, err := start(i.command(h.Command, h.Env, i.helperLog(h.Name)))
	if err != nil {
		return err
	}
	i.svc.set(func() { i.helpers[n] = p })
	if !h.Ready.Set() {
		return nil
	}
	ask := newProber(h.Ready, i.addr(h.Ready.Port), func() command { return i.command(h.Ready.Exec, h.Env, i.helperLog(h.Name)) }, p.since)
	limit := time.NewTimer(i.svc.app.Health.Startup)
	defer limit.Stop()
	for pause := eager; ; pause = min(2*pause, ask.check.Period) {
		if ask.note(ask.once(ctx)); ask.well {
			return nil
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
			continue
		case <-p.done:
			return fmt.Errorf("%s before it was ready", p.how())
		case <-limit.C:
			return fmt.Errorf("not ready within %v (health.startup): %w", i.svc.app.Health.Startup, ask.last)
		case <-i.leave:
			return errLeaving
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// keep looks after a running process, and returns why it does so no more: the instance leaves, or the process has ended, by itself
// or because its checks failed.
func (i *instance) keep(ctx context.Context, adopted bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	health := i.svc.app.Health
	p := i.process()
	exec := func(c app.Check) func() command {
		return func() command { return i.command(c.Exec, nil, "") }
	}
	readiness := newProber(health.Ready, i.addr(health.Ready.Port), exec(health.Ready), p.since)
	liveness := newProber(health.Live, i.addr(health.Live.Port), exec(health.Live), time.Now())
	liveness.well = true
	readiness.well = !readiness.check.Set()
	began, pause, deadline := false, eager, p.since.Add(health.Startup)
	if adopted {
		// If it served before we were away it is believed until it says otherwise; in any case it is asked at once.
		readiness.well = readiness.well || i.stageNow() == ready
		readiness.next, deadline = time.Now(), time.Now().Add(health.Startup)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	asking, answers := false, make(chan answer, 1)
	ask := func(p *prober) {
		asking = true
		go func() { answers <- answer{p, p.once(ctx)} }()
	}
	helpers := i.watchHelpers(ctx)
	for {
		if readiness.well && !began {
			began = true
			liveness.next = time.Now().Add(liveness.check.InitialDelay)
		}
		switch now := i.stageNow(); {
		case readiness.well && now != ready:
			i.serve()
		case !readiness.well && now == ready:
			i.pauseServing(readiness.last)
		}
		now := time.Now()
		switch {
		case !began && now.After(deadline):
			i.retire(ctx)
			return fmt.Errorf("not ready within %v (health.startup): %w", health.Startup, orUnasked(readiness.last))
		case !liveness.well:
			i.retire(ctx)
			return fmt.Errorf("restarted because %d liveness checks in a row failed: %w", liveness.bad, liveness.last)
		case asking:
		case readiness.due(now):
			ask(readiness)
		case began && liveness.due(now):
			ask(liveness)
		}
		timer.Reset(time.Until(soonest(readiness, liveness, asking, began, deadline)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-i.leave:
			return errLeaving
		case <-p.done:
			i.offline()
			return fmt.Errorf("%s after %v", p.how(), time.Since(p.since).Round(time.Millisecond))
		case err := <-helpers:
			i.retire(ctx)
			return err
		case a := <-answers:
			asking = false
			a.of.note(a.err)
			a.of.next = time.Now().Add(a.of.check.Period)
			if !began {
				// A service that starts in 50 ms should not have to wait for a second.
				a.of.next = time.Now().Add(min(pause, a.of.check.Period))
				pause *= 2
				i.tell(a.err)
			}
		case <-timer.C:
		}
	}
}

type answer struct {
	of  *prober
	err error
}

func orUnasked(err error) error {
	if err == nil {
		return fmt.Errorf("its first check was not due yet (health.ready.initialDelay)")
	}
	return err
}

func soonest(readiness, liveness *prober, asking, began bool, deadline time.Time) time.Time {
	next := time.Now().Add(time.Hour)
	if !began {
		next = deadline
	}
	if asking {
		return next // the answer is an event of its own
	}
	if readiness.check.Set() && readiness.next.Before(next) {
		next = readiness.next
	}
	if began && liveness.check.Set() && liveness.next.Before(next) {
		next = liveness.next
	}
	return next
}

// watchHelpers tells of the first helper that ends.
func (i *instance) watchHelpers(ctx context.Context) <-chan error {
	died := make(chan error, len(i.plate.Helpers))
	for n, h := range i.plate.Helpers {
		p := i.helper(n)
		if p == nil {
			died <- fmt.Errorf("restarted because its helper %s does not run", h.Name)
			continue
		}
		go func() {
			select {
			case <-p.done:
				died <- fmt.Errorf("restarted because its helper %s %s", h.Name, p.how())
			case <-i.gone:
			case <-ctx.Done():
			}
		}()
	}
	return died
}

// serve puts the process into rotation.
func (i *instance) serve() {
	i.svc.set(func() {
		if !i.leaving {
			i.join()
		}
	})
}

// join is serve with the lock held.
func (i *instance) join() {
	if i.route == nil {
		addrs := map[string]string{}
		for name, n := range i.ports {
			addrs[name] = loopback(n)
		}
		i.route = i.svc.data.Add(i.version, i.id+"/"+i.main.Start, addrs)
	}
	i.route.PutIn()
	i.stage, i.trouble, i.failing = ready, "", false
}

func (i *instance) pauseServing(why error) {
	i.svc.set(func() {
		i.route.TakeOut()
		i.stage, i.trouble = notReady, fmt.Sprint(why)
	})
}

// tell keeps why the process is not ready yet, for whoever looks at the status.
func (i *instance) tell(why error) {
	if why == nil {
		return
	}
	i.svc.mu.Lock()
	defer i.svc.mu.Unlock()
	if i.trouble == "" || i.restarts == 0 {
		i.trouble = why.Error()
	}
	if !i.failing && i.failure() != "" { // time alone made it a failure, which is no event by itself
		i.failing = true
		i.svc.tell()
	}
}

// offline makes the proxy forget a process that is dead.
func (i *instance) offline() {
	i.svc.set(func() {
		if i.route != nil {
			i.route.Forget()
			i.route = nil
		}
	})
}

// crashed notes that the process has ended without being asked to.
func (i *instance) crashed(why error, pause time.Duration) {
	i.svc.set(func() {
		i.stage, i.trouble = crashLoop, why.Error()
		i.restarts++
	})
	i.svc.say("%s: %v; it is started again in %v", i.id, why, pause)
}

// rest waits before the next start. It returns false if the instance is to leave instead, or ctx ended.
func (i *instance) rest(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-i.leave:
	case <-ctx.Done():
	}
	return false
}

// takePorts gives the instance ports, which it keeps until it is gone: a helper that outlives the process was told of them at its
// start. Where a stranger has taken one meanwhile the instance begins anew, helpers too.
func (i *instance) takePorts(ctx context.Context) error {
	if n := i.takenPort(); n > 0 {
		i.svc.say("%s: port %d was taken by another program while no process of it listened there; it is started with new ports, and its helpers too", i.id, n)
		i.stopHelpers(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		i.svc.set(i.givePorts)
	}
	have := i.portsNow()
	if have == nil {
		have = map[string]int{}
	}
	for _, p := range i.svc.app.Ports {
		if have[p.Name] > 0 {
			continue
		}
		n, err := i.svc.ports.take()
		if err != nil {
			return err
		}
		have[p.Name] = n
		i.svc.set(func() { i.ports = maps.Clone(have) })
	}
	return nil
}

// takenPort is one of the instance's ports at which somebody else listens; 0 if there is none.
func (i *instance) takenPort() int {
	for _, n := range i.portsNow() {
		if !free(n) && !i.helperListens(n) {
			return n
		}
	}
	return 0
}

func (i *instance) helperListens(port int) bool {
	for n := range i.plate.Helpers {
		if p := i.helper(n); p != nil && !p.ended() && p.listens(port) {
			return true
		}
	}
	return false
}

func (i *instance) givePorts() {
	for _, n := range i.ports {
		i.svc.ports.give(n)
	}
	i.ports = nil
}

func (i *instance) addr(port string) string {
	i.svc.mu.Lock()
	defer i.svc.mu.Unlock()
	return loopback(i.ports[port])
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (i *instance) process() *process {
	i.svc.mu.Lock()
	defer i.svc.mu.Unlock()
	return i.main
}

func (i *instance) helper(n int) *process {
	i.svc.mu.Lock()
	defer i.svc.mu.Unlock()
	return i.helpers[n]
}

func (i *instance) stageNow() stage {
	i.svc.mu.Lock()
	defer i.svc.mu.Unlock()
	return i.stage
}
