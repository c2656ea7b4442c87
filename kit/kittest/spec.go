package kittest

import (
	"context"
	"fmt"
	"time"
)

// Readiness is what a service declares to answer while it drains; the words
// are kit's.
type Readiness string

const (
	// Flip: outside 200-399 within a second. The default.
	Flip Readiness = "Flip"
	// ServeTerminating: 2xx for as long as new connections are accepted.
	ServeTerminating Readiness = "ServeTerminating"
)

// Words that stand for a path where health is not asked over HTTP.
const (
	// TCP: whoever accepts a connection is well. It cannot say anything else
	// before it stops accepting, so readiness is then ServeTerminating.
	TCP = "tcp"
	// GRPC: the service grpc.health.v1.Health is asked.
	GRPC = "grpc"
	// None, for liveness: nobody asks.
	None = "none"
)

// Spec is what is declared of a service. The zero value of a field means its
// default, or that the service has no such thing.
type Spec struct {
	Path      string    // what the load asks for; default "/"
	ReadyPath string    // default "/readyz"; or TCP, or GRPC
	LivePath  string    // default "/livez"; or TCP, GRPC or None
	Readiness Readiness // default Flip

	Grace   time.Duration // until the platform kills; default 30 s
	PreStop time.Duration // how much of it passes before SIGTERM; default 0
	Hooked  bool          // the target runs the preStop hook itself: SIGTERM comes PreStop after it was asked for
	Drain   time.Duration // how long after the decision to stop traffic may come; default 5 s
	Close   time.Duration // kept for closing; default 3 s
	Margin  time.Duration // kept for the exit itself; default 2 s

	Startup   time.Duration // how long it may take to get ready; default 60 s
	Rate      float64       // requests per second; default 100
	Stops     int           // how often it is stopped under the steady load; default 1
	Edges     int           // how often Z10 stops the service; default 20
	Parallel  int           // how many instances may run at the same time; default 1
	Tolerance time.Duration // what a moment in time may be off; default 300 ms
	ReadOnly  bool          // send GET only
	Brief     bool          // leave out what takes the whole grace period: a request longer than it

	SlowPath   string        // a GET that takes long, with {duration} (2.5s) or {ms} (2500) in it; default: slow uploads to Path
	Slow       time.Duration // how long slow requests last; default half the time for requests in flight
	SlowStart  []string      // environment that makes the start take 5 s or more, for Z16
	DepsDown   []string      // environment in which what it depends on does not answer, for Z2
	HTTP2      bool          // speaks HTTP/2 without TLS on Addr
	GRPC       bool          // serves gRPC with health, on Addr or on a port of its own
	EventPath  string        // a stream of server-sent events
	SocketPath string        // a WebSocket
	DependPath string        // as SlowPath, and uses a dependency at its end, for Z18
	CountPath  string        // a GET that says how many POST to Path were carried out, for Z19
	Version    string        // what Gapless-Version should say; default: anything

	// Skip names rules that cannot be judged here, with the reason.
	Skip map[string]string
	// Judges replace or add the judgement of rules that need to know the
	// service.
	Judges map[string]func(ctx context.Context, s *Session) Result
}

// announce is the least drain in process when a preStop sleep has done the
// waiting: kept-alive clients must still hear "Connection: close" once.
const announce = 2 * time.Second

// WithDefaults fills in what is not declared.
func (s Spec) WithDefaults() Spec {
	text := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	span := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	count := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	text(&s.Path, "/")
	text(&s.ReadyPath, "/readyz")
	text(&s.LivePath, "/livez")
	if s.ReadyPath == TCP {
		s.Readiness = ServeTerminating
	}
	if s.Readiness == "" {
		s.Readiness = Flip
	}
	span(&s.Grace, 30*time.Second)
	span(&s.Drain, 5*time.Second)
	span(&s.Close, 3*time.Second)
	span(&s.Margin, 2*time.Second)
	span(&s.Startup, 60*time.Second)
	span(&s.Tolerance, 300*time.Millisecond)
	span(&s.Slow, s.inFlight()/2)
	if s.Rate == 0 {
		s.Rate = 100
	}
	count(&s.Stops, 1)
	count(&s.Edges, 20)
	count(&s.Parallel, 1)
	return s
}

// A SpecError names a field of a [Spec] that cannot be, its value, and what to
// give instead.
type SpecError struct {
	Field string
	Value any
	Fix   string
}

func (e *SpecError) Error() string { return fmt.Sprintf("%s is %v: %s", e.Field, e.Value, e.Fix) }

// Validate returns a [*SpecError], or nil.
func (s Spec) Validate() error {
	s = s.WithDefaults()
	for _, field := range []struct {
		name  string
		value time.Duration
	}{
		{"Grace", s.Grace},
		{"PreStop", s.PreStop},
		{"Drain", s.Drain},
		{"Close", s.Close},
		{"Margin", s.Margin},
		{"Startup", s.Startup},
		{"Tolerance", s.Tolerance},
		{"Slow", s.Slow},
	} {
		if field.value < 0 {
			return &SpecError{field.name, field.value, "it cannot be negative"}
		}
	}
	if left := s.Grace - s.PreStop - s.drain() - s.Close - s.Margin; left < time.Second {
		return &SpecError{"Grace", s.Grace, fmt.Sprintf("preStop %v + drain %v + close %v + margin %v leave %v of it for requests in flight; give at least %v",
			s.PreStop, s.drain(), s.Close, s.Margin, left, s.Grace-left+time.Second)}
	}
	if s.Readiness != Flip && s.Readiness != ServeTerminating {
		return &SpecError{"Readiness", s.Readiness, fmt.Sprintf("give %s or %s", Flip, ServeTerminating)}
	}
	if !(s.Rate > 0 && s.Rate <= 100_000) {
		return &SpecError{"Rate", s.Rate, "give requests per second, above 0 and at most 100000"}
	}
	for _, field := range []struct {
		name  string
		value int
	}{{"Stops", s.Stops}, {"Edges", s.Edges}, {"Parallel", s.Parallel}} {
		if field.value < 1 || field.value > 1000 {
			return &SpecError{field.name, field.value, "give 1 to 1000"}
		}
	}
	return nil
}

// drain is how long after SIGTERM traffic may come: what a preStop sleep has
// left of the drain, but never less than announcing needs.
func (s Spec) drain() time.Duration { return max(s.Drain-s.PreStop, min(s.Drain, announce)) }

// inFlight is the time that remains for requests in flight.
func (s Spec) inFlight() time.Duration {
	return max(time.Second, s.Grace-s.PreStop-s.drain()-s.Close-s.Margin)
}

// killed is when, after SIGTERM, the platform would kill.
func (s Spec) killed() time.Duration { return s.Grace - s.PreStop }

// hook is how long after it was asked for SIGTERM comes.
func (s Spec) hook() time.Duration {
	if s.Hooked {
		return s.PreStop
	}
	return 0
}
