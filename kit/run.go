package kit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Exit codes of Run.
const (
	exitClean       = 0
	exitFailed      = 1   // could not start, or failed while serving
	exitCut         = 3   // the deadline came before everything was answered
	exitInterrupted = 130 // a second SIGINT: somebody does not want to wait
)

// ErrAlreadyRun is what a second Run of the same service says.
var ErrAlreadyRun = errors.New("kit: a service runs once; make another with New")

// Run starts the service, serves until it is asked to stop, drains and
// closes. It returns the process's exit code: 0 when it ended cleanly, 1 when
// it could not start or failed, 3 when the deadline cut something off.
//
// SIGTERM, the first SIGINT and the end of ctx ask it to stop. Repeated
// SIGTERM is ignored, because a restarted kubelet sends it again; a second
// SIGINT returns 130 at once.
func (s *Service) Run(ctx context.Context) int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	over := make(chan struct{})
	defer close(over)
	go s.listenToSignals(ctx, signals, over)

	code := make(chan int, 1)
	go func() { code <- s.live() }()
	select {
	case c := <-code:
		return c
	case <-s.force:
		return exitInterrupted
	}
}

func (s *Service) listenToSignals(ctx context.Context, signals <-chan os.Signal, over <-chan struct{}) {
	interrupts := 0
	done := ctx.Done()
	for {
		select {
		case <-over:
			return
		case <-done:
			done = nil
			s.stop("context: " + context.Cause(ctx).Error())
		case sig := <-signals:
			if sig == os.Interrupt {
				interrupts++
			}
			if interrupts > 1 {
				close(s.force)
				return
			}
			s.stop(signalName(sig))
		}
	}
}

func signalName(sig os.Signal) string {
	switch sig {
	case syscall.SIGTERM:
		return "SIGTERM"
	case os.Interrupt:
		return "SIGINT"
	}
	return sig.String()
}

// live is the whole life, one phase after the other.
func (s *Service) live() int {
	s.mu.Lock()
	again := s.ran
	s.ran = true
	s.mu.Unlock()
	if again {
		s.log.Error("run", "error", ErrAlreadyRun)
		return exitFailed
	}
	if s.refused != nil {
		s.log.Error("not started", "error", s.refused)
		return exitFailed
	}

	told := make(chan struct{})
	go func() { defer close(told); s.tellPhases() }()

	health, err := s.serveHealth()
	if err != nil {
		s.fail(err)
	}
	watching := s.watchDependencies()
	s.openGates()

	if s.waitReady() {
		<-s.stopping
		s.enter(PhaseDraining)
		s.drain()
	}
	report := s.end()
	s.enter(PhaseDone)
	close(s.phases)
	select {
	case <-told:
	case <-time.After(max(reserve, time.Until(s.killedAt()))):
	}
	s.writeReport(report)
	s.stopWork()
	s.cut()
	watching.Wait()
	if health != nil {
		closeHealth(health)
	}
	return report.Exit
}

// waitReady brings the service from Starting to Ready. False when it was asked
// to stop before that.
func (s *Service) waitReady() bool {
	for _, g := range s.gates {
		select {
		case <-g.open:
		case <-s.stopping:
			return false
		}
	}
	if closed(s.stopping) {
		return false
	}
	for _, srv := range s.servers {
		if err := s.bind(srv); err != nil {
			s.fail(fmt.Errorf("listen for %s: %w", srv.name, err))
			return false
		}
	}
	for _, srv := range s.servers {
		go s.serve(srv)
	}
	s.startWorkers()
	s.enter(PhaseReady)
	return true
}

// server is one thing that is served by name.
type server struct {
	name  string
	srv   Server
	http  *http.Server // srv, if it is one
	given net.Listener // nil: listen on the http.Server's own Addr
	ln    *listener
}

func (s *Service) bind(srv *server) error {
	ln := srv.given
	if ln == nil {
		addr := srv.http.Addr
		if addr == "" {
			addr = ":http"
			if srv.http.TLSConfig != nil {
				addr = ":https"
			}
		}
		var err error
		if ln, err = net.Listen("tcp", addr); err != nil {
			return err
		}
	}
	l := s.listen(ln)
	l.foreign = srv.http == nil
	s.mu.Lock()
	srv.ln = l
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
	return nil
}

// serve accepts until the service stops accepting. Connections go on being
// served after that.
func (s *Service) serve(srv *server) {
	var err error
	if srv.http != nil && srv.http.TLSConfig != nil {
		err = srv.http.ServeTLS(srv.ln, "", "")
	} else {
		err = srv.srv.Serve(srv.ln)
	}
	if closed(s.stopping) && closed(srv.ln.closed) {
		return // by us
	}
	s.fail(fmt.Errorf("serve %s: %w", srv.name, err))
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// drain goes on serving until nobody is sent here any more.
func (s *Service) drain() {
	s.traffic.begin(s.stopped, s.inFlight.Load())
	s.stopWork()
	s.log.Info("draining", "service", s.name(), "reason", s.reason, "inFlight", s.inFlight.Load(),
		"atLeast", s.split.Drain, "atMost", s.split.DrainMax)
	s.until(func() bool {
		return s.split.drained(time.Since(s.stopped), s.traffic.sinceLastNew(time.Now()))
	})
}

// look is how often a condition that nobody announces is looked at.
const look = 5 * time.Millisecond

// until waits for done or for the time when what is left is cut.
func (s *Service) until(done func() bool) bool {
	limit, _ := s.cutAt()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for !done() {
		if time.Now().After(limit) {
			return false
		}
		<-tick.C
	}
	return true
}

// end is what follows the drain, or a stop before Ready: nobody new, no work
// left, hooks, report.
func (s *Service) end() Report {
	s.traffic.mu.Lock()
	if s.traffic.since.IsZero() { // stopped before Ready
		s.traffic.since = s.stopped
	}
	s.traffic.mu.Unlock()

	s.enter(PhaseQuiescing)
	s.stopAccepting()
	left := s.quiesce()
	s.enter(PhaseClosing)
	closed := s.runClosers(s.killedAt())
	return s.report(left, closed)
}

// stopAccepting shuts all doors at the same time.
func (s *Service) stopAccepting() {
	var doors sync.WaitGroup
	for _, l := range s.listeners {
		doors.Go(l.stopAccepting)
	}
	doors.Wait()
}
