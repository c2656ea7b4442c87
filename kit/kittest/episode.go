package kittest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"gapless.dev/kit/load"
)

// episode is one stop under load, as seen from outside. Most rules only read
// it, so the service need be stopped but once for all of them.
type episode struct {
	in      Instance
	began   time.Time // of the process
	ready   time.Time // first 2xx of readiness
	stopped time.Time // when SIGTERM was sent
	exited  bool
	exit    Exit

	first    []load.Result // the requests right after ready
	requests []load.Result // the steady load, until just before the drain's end
	readies  []answer
	lives    []answer
	idle     []idleConn
	replies  []reply
	slow     []slowRequest
	open     []answer // is anybody listening? asked on the service's own port
	streams  map[string]goodbye
	unopened map[string]error
}

// tolerance is what a loaded machine may cost a moment in time.
const tolerance = 300 * time.Millisecond

// after is a moment relative to the stop, for evidence.
func (e *episode) after(t time.Time) string {
	return fmt.Sprintf("%+.2fs", t.Sub(e.stopped).Seconds())
}

// idleConns is how many silent connections are watched.
const idleConns = 20

func (s *Session) stopUnderLoad(ctx context.Context) (*episode, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e := &episode{began: time.Now(), streams: make(map[string]goodbye), unopened: make(map[string]error)}
	in, err := s.start(ctx)
	if err != nil {
		return nil, err
	}
	e.in = in
	polling, stopPolling := context.WithCancel(ctx)
	defer stopPolling()
	lives := poll(polling, 200*time.Millisecond, "http://"+in.HealthAddr()+s.Spec.LivePath)
	if err := s.untilReady(ctx, e); err != nil {
		stopPolling()
		lives()
		return nil, err
	}
	e.first = s.burst(ctx, in.Addr(), 200)

	// From here on everything happens at once: the load, silent connections,
	// one that is used steadily, streams, and the health checks.
	loading, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	var loads sync.WaitGroup
	loads.Go(func() { e.requests = s.load(loading, in.Addr()) })
	replies := askSteadily(loading, in.Addr(), s.Spec.Path, 50*time.Millisecond)
	end := time.Now().Add(time.Second + s.Spec.killed())
	idle, err := holdIdle(in.Addr(), s.Spec.Path, idleConns, end)
	if err != nil {
		return nil, err
	}
	ends := s.openStreams(ctx, e, end)
	readies := poll(polling, 100*time.Millisecond, "http://"+in.HealthAddr()+s.Spec.ReadyPath)
	open := poll(polling, 100*time.Millisecond, "http://"+in.Addr()+s.Spec.ReadyPath)
	time.Sleep(time.Second)

	half := s.Spec.inFlight() / 2
	slow := []<-chan slowRequest{s.askSlowly(ctx, in.Addr(), half), s.askSlowly(ctx, in.Addr(), half/2)}
	time.Sleep(200 * time.Millisecond)
	e.stopped = time.Now()
	if err := in.Signal(syscall.SIGTERM); err != nil {
		return nil, fmt.Errorf("SIGTERM: %w", err)
	}
	time.Sleep(s.Spec.Drain / 2)
	slow = append(slow, s.askSlowly(ctx, in.Addr(), half))
	time.Sleep(time.Until(e.stopped.Add(s.Spec.Drain - tolerance/3)))
	stopLoad()

	e.exit, e.exited = wait(in, e.stopped.Add(s.Spec.killed()))
	if !e.exited {
		in.Kill()
	}
	stopPolling()
	loads.Wait()
	e.replies, e.readies, e.lives, e.open = replies(), readies(), lives(), open()
	for _, one := range slow {
		e.slow = append(e.slow, <-one)
	}
	for name, ended := range ends {
		e.streams[name] = <-ended
	}
	e.idle = idle()
	return e, nil
}

// untilReady polls readiness until its first 2xx.
func (s *Session) untilReady(ctx context.Context, e *episode) error {
	limit := time.Now().Add(s.Spec.Startup)
	url := "http://" + e.in.HealthAddr() + s.Spec.ReadyPath
	for {
		a := ask(ctx, url)
		if a.ok() {
			e.ready = time.Now()
			return nil
		}
		select {
		case <-e.in.Exited():
			return fmt.Errorf("exited with %v before it was ready; it said:\n%s", e.in.Exit(), e.in.Logs())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(limit) {
			e.in.Kill()
			return fmt.Errorf("not ready after %v: GET %s: %v; it said:\n%s", s.Spec.Startup, url, a, e.in.Logs())
		}
	}
}

// burst sends n requests as fast as a client would that has waited for ready.
func (s *Session) burst(ctx context.Context, addr string, n int) []load.Result {
	const rate = 400
	return s.collect(ctx, load.Options{
		URL: "http://" + addr + s.Spec.Path, Rate: rate, For: time.Duration(n) * time.Second / rate, New: 0.5,
	})
}

// load is the steady load: half on new connections, a fifth POST.
func (s *Session) load(ctx context.Context, addr string) []load.Result {
	opts := load.Options{URL: "http://" + addr + s.Spec.Path, Rate: s.Spec.Rate, New: 0.5, Post: 0.2}
	if !s.takesPost(ctx, addr) {
		opts.Post = 0
	}
	if s.Spec.HTTP2 {
		opts.H2 = 0.2
	}
	return s.collect(ctx, opts)
}

func (s *Session) collect(ctx context.Context, opts load.Options) (results []load.Result) {
	opts.Timeout = 10 * time.Second
	if err := load.Run(ctx, opts, func(r load.Result) { results = append(results, r) }); err != nil {
		panic(err) // our own options
	}
	return results
}

// takesPost tries: a service without POST is not judged by it.
func (s *Session) takesPost(ctx context.Context, addr string) bool {
	status, err := s.post(ctx, addr)
	return err == nil && status < 400
}

// openStreams opens what streams the spec names.
func (s *Session) openStreams(ctx context.Context, e *episode, until time.Time) map[string]<-chan goodbye {
	ends := make(map[string]<-chan goodbye)
	if path := s.Spec.EventPath; path != "" {
		if ended, err := watchEvents(ctx, e.in.Addr(), path, until); err != nil {
			e.unopened["event stream"] = err
		} else {
			ends["event stream"] = ended
		}
	}
	if path := s.Spec.SocketPath; path != "" {
		if ended, err := watchSocket(e.in.Addr(), path, until); err != nil {
			e.unopened["WebSocket"] = err
		} else {
			ends["WebSocket"] = ended
		}
	}
	return ends
}

// acceptEnded is when the service was first seen not to listen any more, or
// its end.
func (e *episode) acceptEnded() time.Time {
	i := slices.IndexFunc(e.open, func(a answer) bool { return a.err != nil && a.at.After(e.stopped) })
	if i >= 0 {
		return e.open[i].at
	}
	return e.exit.At
}
