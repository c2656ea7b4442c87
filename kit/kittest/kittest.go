// Package kittest says whether a service can be replaced without loss, by
// doing it: it starts the service, loads it, stops it and watches. The rules
// are those of the contract (Z1 to Z22), as values; they work on anybody's
// server, not only on one built with kit.
//
//	func TestConforms(t *testing.T) {
//		kittest.Conform(t, &kittest.Command{
//			Path:     "./server",
//			Declared: kittest.Spec{Grace: 12 * time.Second, Drain: 2 * time.Second},
//		})
//	}
package kittest

import (
	"context"
	"os"
	"time"
)

// Rule is one thing a replaceable service does.
type Rule struct {
	ID    string   // Z1 to Z22
	Title string   // what holds, in one sentence
	Must  bool     // false: should; a service that fails it still loses nothing
	Why   string   // what is lost otherwise
	Fix   string   // what to do about it
	Needs []string // rules without which this one cannot be judged
	Run   func(ctx context.Context, s *Session) Result
}

// Status is what came out of a rule.
type Status string

const (
	// Pass: the rule was seen to hold.
	Pass Status = "pass"
	// Fail: the rule was seen not to hold.
	Fail Status = "fail"
	// Skip: the rule was not judged; Result.Why says why. Never taken as a pass.
	Skip Status = "skip"
)

// Result is a rule's outcome with what was seen.
type Result struct {
	ID       string        `json:"id"`
	Title    string        `json:"title"`
	Must     bool          `json:"must"`
	Status   Status        `json:"status"`
	Why      string        `json:"why"`                // the finding in one sentence
	Evidence []string      `json:"evidence,omitempty"` // what was seen when, at most a few lines
	Took     time.Duration `json:"took"`
}

// Target is a service that can be started as often as needed.
type Target interface {
	// Spec is what is declared of the service.
	Spec() Spec
	// Start starts a fresh instance and returns at once. env is added to its
	// environment, as "NAME=value".
	Start(ctx context.Context, env ...string) (Instance, error)
}

// Instance is one running copy.
type Instance interface {
	// Addr is where the service is served: host:port.
	Addr() string
	// HealthAddr is where its health is served; Addr if on the same port.
	HealthAddr() string
	// Signal sends a signal to the instance's first process.
	Signal(os.Signal) error
	// Exited is closed when that process has ended.
	Exited() <-chan struct{}
	// Exit is how it ended; meaningful after Exited.
	Exit() Exit
	// Logs is the end of what it wrote to stdout and stderr.
	Logs() string
	// Report is its drain report; empty if there is none.
	Report() []byte
	// Orphans says which processes of the instance outlived the first one.
	Orphans() []int
	// Kill ends all that is left of it.
	Kill()
}

// Exit is how a process ended.
type Exit struct {
	Code   int // -1 when a signal ended it
	Signal string
	At     time.Time
}

// Readiness is what a service declares to answer while it drains; the words
// are kit's.
type Readiness string

const (
	// Flip: outside 200-399 within a second. The default.
	Flip Readiness = "Flip"
	// ServeTerminating: 2xx for as long as new connections are accepted.
	ServeTerminating Readiness = "ServeTerminating"
)

// Spec is what is declared of a service. The zero value of a field means its
// default, or that the service has no such thing.
type Spec struct {
	Path      string    // what the load asks for; default "/"
	ReadyPath string    // default "/readyz"
	LivePath  string    // default "/livez"
	Readiness Readiness // default Flip

	Grace   time.Duration // until the platform kills; default 30 s
	PreStop time.Duration // how much of it passes before SIGTERM; default 0
	Drain   time.Duration // how long after SIGTERM traffic may come; default 5 s
	Close   time.Duration // kept for closing; default 3 s
	Margin  time.Duration // kept for the exit itself; default 2 s

	Startup time.Duration // how long it may take to get ready; default 60 s
	Rate    float64       // requests per second; default 100
	Edges   int           // how often Z10 stops the service; default 20

	SlowPath   string   // a GET that takes long, with {duration} (2.5s) or {ms} (2500) in it; default: slow uploads to Path
	SlowStart  []string // environment that makes the start take 5 s or more, for Z16
	HTTP2      bool     // speaks HTTP/2 without TLS on Addr
	EventPath  string   // a stream of server-sent events
	SocketPath string   // a WebSocket
	Version    string   // what Gapless-Version should say; default: anything

	// Judges replace or add the judgement of rules that need to know the
	// service: Z12 (gRPC), Z17, Z18 and Z19.
	Judges map[string]func(ctx context.Context, s *Session) Result
}

func (s Spec) withDefaults() Spec {
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
	text(&s.Path, "/")
	text(&s.ReadyPath, "/readyz")
	text(&s.LivePath, "/livez")
	if s.Readiness == "" {
		s.Readiness = Flip
	}
	span(&s.Grace, 30*time.Second)
	span(&s.Drain, 5*time.Second)
	span(&s.Close, 3*time.Second)
	span(&s.Margin, 2*time.Second)
	span(&s.Startup, 60*time.Second)
	if s.Rate == 0 {
		s.Rate = 100
	}
	if s.Edges == 0 {
		s.Edges = 20
	}
	return s
}

// inFlight is the time that remains for requests in flight.
func (s Spec) inFlight() time.Duration {
	return max(time.Second, s.Grace-s.PreStop-s.Drain-s.Close-s.Margin)
}

// killed is when, after SIGTERM, the platform would kill.
func (s Spec) killed() time.Duration { return s.Grace - s.PreStop }
