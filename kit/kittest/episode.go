package kittest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"gapless.dev/kit/load"
)

// episode is one stop under load, as seen from outside. Most rules only read
// it, so the service need be stopped but once for all of them.
type episode struct {
	number  int
	in      Instance
	began   time.Time // of the process
	ready   time.Time // first 2xx of readiness
	asked   time.Time // when the stop was asked for
	stopped time.Time // when SIGTERM was sent; later than asked where the target runs a preStop hook
	exited  bool
	exit    Exit
	slack   time.Duration // what a moment may be off here

	first    []load.Result // the requests right after ready
	requests []load.Result // the steady load, until just before the drain's end
	readies  []answer
	lives    []answer
	idle     []idleConn
	replies  []reply
	slow     []slowRequest
	depend   slowRequest // the one that needs a dependency
	open     []answer    // is anybody listening? asked on the service's own port
	streams  map[string]goodbye
	unopened map[string]error
	grpc     watchEnd
	calls    []answer // of gRPC health
	goAway   []reply  // of HTTP/2 from half the drain on; none where it is not spoken
	lines    []Line
	report   []byte
}

// after is a moment relative to SIGTERM, for evidence.
func (e *episode) after(t time.Time) string { return offset(t.Sub(e.stopped)) }

func offset(d time.Duration) string { return fmt.Sprintf("%+.2fs", d.Seconds()) }

// inDrain reports whether a request was due, and was sent, while traffic may
// still come. One that we sent late is not held against the service.
func (e *episode) inDrain(spec Spec, r load.Result) bool {
	end := e.stopped.Add(spec.drain() - e.slack)
	return r.Scheduled.After(e.asked) && r.Scheduled.Before(end) && r.Started.Before(end)
}

// stops are all stops under load, the first of which was judged alone.
func (s *Session) stops() ([]*episode, error) {
	first, err := s.first()
	if err != nil {
		return nil, err
	}
	more, err := s.more()
	return append([]*episode{first}, more...), err
}

// stopAgain repeats the stop under load as often as the spec says.
func (s *Session) stopAgain(ctx context.Context) ([]*episode, error) {
	episodes := make([]*episode, s.Spec.Stops-1)
	errs := make([]error, len(episodes))
	var stopping sync.WaitGroup
	for i := range episodes {
		stopping.Go(func() { episodes[i], errs[i] = s.stopUnderLoad(ctx, i+2) })
	}
	stopping.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return episodes, nil
}

// tries is how often a stop is tried on a machine that is too late itself to
// say what was in time, or whose network stands still.
const tries = 3

// stopUnderLoad is one such stop, from the start of the process to its end.
func (s *Session) stopUnderLoad(ctx context.Context, number int) (e *episode, err error) {
	for try := 1; ; try++ {
		var late time.Duration
		e, late, err = s.tryUnderLoad(ctx, number)
		if !s.tooLate(late) && !timedOut(err) || try == tries || ctx.Err() != nil {
			break
		}
		s.doing("stop %d of %d under load: once more, this machine was %v late", number, s.Spec.Stops, late.Round(time.Millisecond))
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, e)
	return e, nil
}

func (s *Session) tryUnderLoad(ctx context.Context, number int) (e *episode, late time.Duration, err error) {
	err = s.use(ctx, nil, func(ctx context.Context, in Instance) error {
		e = &episode{number: number, in: in, began: time.Now(), streams: make(map[string]goodbye), unopened: make(map[string]error)}
		s.doing("stop %d of %d under load: starting", number, s.Spec.Stops)
		var failed error
		late = s.timed(ctx, func() { failed = s.live(ctx, e) })
		e.slack = s.slack(late)
		e.lines, e.report = in.Lines(), in.Report()
		return failed
	})
	return e, late, err
}

// live is the life of the instance under load.
func (s *Session) live(ctx context.Context, e *episode) error {
	in := e.in
	polling, stopPolling := context.WithCancel(ctx)
	defer stopPolling()
	lives := func() []answer { return nil }
	if s.Spec.LivePath != None {
		lives = poll(polling, 200*time.Millisecond, func(ctx context.Context) answer { return health(ctx, in.HealthAddr(), s.Spec.LivePath) })
	}
	var err error
	if e.ready, err = s.untilReady(ctx, in); err != nil {
		stopPolling()
		lives()
		return err
	}
	e.first = s.burst(ctx, in.Addr(), 200)

	// From here on everything happens at once: the load, silent connections,
	// one that is used steadily, streams, and the health checks.
	loading, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	var loads sync.WaitGroup
	loads.Go(func() { e.requests = s.load(loading, in.Addr()) })
	end := time.Now().Add(2*time.Second + s.Spec.hook() + s.Spec.killed())
	conns, err := s.connect(loading, e, end)
	if err != nil {
		return err
	}
	readies := poll(polling, 100*time.Millisecond, func(ctx context.Context) answer { return s.ready(ctx, in) })
	open := poll(polling, 100*time.Millisecond, func(ctx context.Context) answer { return s.open(ctx, in) })
	calls := func() []answer { return nil }
	if s.Spec.GRPC {
		calls = poll(polling, 100*time.Millisecond, func(ctx context.Context) answer { return askGRPC(ctx, grpcAddr(in)) })
	}
	pause(ctx, time.Second)
	if err := conns.late(in.Addr(), s.Spec.Path, end); err != nil {
		return err
	}

	slow := []<-chan slowRequest{s.askSlowly(ctx, in.Addr(), s.Spec.Slow), s.askSlowly(ctx, in.Addr(), s.Spec.Slow/2)}
	var depend <-chan slowRequest
	if s.Spec.DependPath != "" {
		depend = s.askSlowlyAt(ctx, in.Addr(), s.Spec.DependPath, s.Spec.Slow)
	}
	pause(ctx, 200*time.Millisecond)
	s.doing("stop %d of %d under load: SIGTERM, draining for %v", e.number, s.Spec.Stops, s.Spec.drain())
	e.asked = time.Now()
	e.stopped = e.asked.Add(s.Spec.hook())
	if err := terminate(in); err != nil {
		return err
	}
	pause(ctx, time.Until(e.stopped.Add(s.Spec.drain()/2)))
	slow = append(slow, s.askSlowly(ctx, in.Addr(), s.Spec.Slow))
	pause(ctx, time.Until(e.stopped.Add(s.Spec.drain()/2+300*time.Millisecond)))
	lastMoment := e.stopped.Add(s.Spec.drain() - 100*time.Millisecond)
	goAway := conns.goAway(s.Spec.Path, lastMoment)
	pause(ctx, time.Until(lastMoment))
	stopLoad()

	s.doing("stop %d of %d under load: waiting for the exit", e.number, s.Spec.Stops)
	e.exit, e.exited = wait(ctx, in, e.stopped.Add(s.Spec.killed()))
	if !e.exited {
		in.Kill()
		e.exit = in.Exit()
	}
	e.exited = e.exited && !s.killedByPlatform(e.exit, e.stopped)
	stopPolling()
	loads.Wait()
	e.readies, e.lives, e.open = readies(), lives(), open()
	e.calls = calls()
	for _, one := range slow {
		e.slow = append(e.slow, <-one)
	}
	if depend != nil {
		e.depend = <-depend
	}
	e.goAway = <-goAway
	conns.end(e)
	return ctx.Err()
}

// acceptEnded is when the service was first seen not to listen any more, or
// its end.
func (e *episode) acceptEnded() time.Time {
	i := slices.IndexFunc(e.open, func(a answer) bool { return a.err != nil && a.at.After(e.asked) })
	if i >= 0 {
		return e.open[i].at
	}
	return e.exit.At
}
