package kit

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Service is one process that can be replaced without loss. Make it with
// [New], say what it consists of, then [Service.Run] it once. Registering is
// for the time before Run and not safe from several goroutines.
type Service struct {
	log           *slog.Logger
	budget        Budget
	split         Split
	version       string
	readiness     Readiness
	readyFile     string
	reportPath    string
	healthAddr    string
	drainEndpoint bool
	refused       error // what New or a registration could not accept; Run says it

	servers   []*server
	listeners []*listener // handed out by Listener, served by somebody else
	gates     []*gate
	deps      []*dependency
	workers   []worker
	closers   []closer
	onPhase   []func(Phase)

	// The hot path reads these, once a request.
	inFlight atomic.Int64
	leaving  atomic.Bool // set when the drain starts, never cleared
	stamp    []string    // value of Gapless-Version, shared by all responses; nil without a version

	base     context.Context // of every request; carries the service
	cut      context.CancelFunc
	work     context.Context // of the workers; ends when the drain starts
	stopWork context.CancelFunc
	tasks    tasks
	traffic  traffic
	probed   paths // on which kit's own health handlers were asked

	ready    chan struct{}
	draining chan struct{}
	quiet    chan struct{} // nothing is in flight any more
	stopping chan struct{}
	force    chan struct{}
	phases   chan Phase

	mu        sync.Mutex
	phase     Phase
	entered   []entry
	stopped   time.Time // when the stop was asked for
	reason    string    // why
	failure   error     // why the service could not start or go on
	ran       bool
	healthAt  net.Addr
	filePlace sync.Mutex // one writer of the ready file at a time
}

// New makes a service. It reads GAPLESS_GRACE, GAPLESS_DRAIN, GAPLESS_PRESTOP
// (durations, "30s" or "30"), GAPLESS_VERSION, GAPLESS_HEALTH (address of the
// health listener), GAPLESS_READY_FILE (exists while the service is ready, for
// exec probes) and GAPLESS_REPORT (file of the drain report). What it cannot
// accept is said by Run, which then starts nothing.
func New(opts ...Option) *Service {
	s := &Service{
		log:       slog.Default(),
		budget:    DefaultBudget(),
		readiness: Flip,
		ready:     make(chan struct{}),
		draining:  make(chan struct{}),
		quiet:     make(chan struct{}),
		stopping:  make(chan struct{}),
		force:     make(chan struct{}),
		phases:    make(chan Phase, len(legal)),
		phase:     PhaseStarting,
	}
	s.entered = []entry{{PhaseStarting, time.Now()}}
	for _, opt := range opts {
		opt(s)
	}
	s.refuse(s.fromEnv())
	split, err := s.budget.Split()
	s.split = split
	s.refuse(err)
	if s.version != "" {
		s.stamp = []string{s.version}
	}
	s.base, s.cut = context.WithCancel(context.WithValue(context.Background(), serviceKey{}, s))
	s.work, s.stopWork = context.WithCancel(s.base)
	return s
}

// HTTP serves srv on its Addr from when the service is ready. Its handler,
// ConnState, ConnContext and BaseContext go on being used, wrapped. With
// certificates in srv.TLSConfig it serves TLS; srv.Protocols may ask for
// unencrypted HTTP/2.
func (s *Service) HTTP(name string, srv *http.Server) {
	s.attach(srv)
	s.servers = append(s.servers, &server{name: name, srv: srv, http: srv})
}

// Server is anything that serves a listener and can end orderly and at once,
// as *http.Server does.
type Server interface {
	// Serve accepts until the listener is closed.
	Serve(net.Listener) error
	// Shutdown ends what is in flight and returns when all of it has, or with
	// ctx. It is called when the listener accepts nobody any more.
	Shutdown(ctx context.Context) error
	// Close cuts what is left.
	Close() error
}

// Serve serves ln by srv from when the service is ready. Until then
// connections wait in the listener's queue.
func (s *Service) Serve(name string, ln net.Listener, srv Server) {
	added := &server{name: name, srv: srv, given: ln}
	if h, ok := srv.(*http.Server); ok {
		s.attach(h)
		added.http = h
	}
	s.servers = append(s.servers, added)
}

// Listener is ln for a server that a framework runs itself: connections are
// counted, and when the drain is over the accept queue is emptied and the
// listener closed, so that Accept ends with net.ErrClosed. The framework's own
// stop belongs into OnStop, its handler into Handler.
func (s *Service) Listener(ln net.Listener) net.Listener {
	l := s.listen(ln)
	l.foreign = true
	s.listeners = append(s.listeners, l)
	return l
}

// Health serves /livez, /readyz, /startupz and /statusz on an own listener,
// from the start up to the very end. GAPLESS_HEALTH wins over addr.
func (s *Service) Health(addr string) {
	if os.Getenv(envHealth) == "" {
		s.healthAddr = addr
	}
}

// Err is why the service could not start or go on serving; nil when it was
// asked to stop.
func (s *Service) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.refused, s.failure)
}

// Addrs are the addresses that are served, by name, once the service is
// ready; the health listener's name is "health".
func (s *Service) Addrs() map[string]net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make(map[string]net.Addr)
	if s.healthAt != nil {
		addrs["health"] = s.healthAt
	}
	for _, srv := range s.servers {
		if srv.ln != nil {
			addrs[srv.name] = srv.ln.Addr()
		}
	}
	return addrs
}

// refuse keeps err for Run to say; nil is nothing.
func (s *Service) refuse(err error) { s.refused = errors.Join(s.refused, err) }

// fail ends the service because of err; the first failure is the one told.
func (s *Service) fail(err error) {
	s.mu.Lock()
	if s.failure == nil {
		s.failure = err
	}
	s.mu.Unlock()
	s.log.Error("stopping because of a failure", "error", err)
	s.stop("failure: " + err.Error())
}

// stop asks the service to stop; only the first call counts.
func (s *Service) stop(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped.IsZero() {
		return
	}
	s.stopped, s.reason = time.Now(), reason
	close(s.stopping)
}

// name is what log lines call the service: its version, if it has one.
func (s *Service) name() string {
	if s.version == "" {
		return "unversioned"
	}
	return s.version
}
