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
	How   string   // how it is tried, in one sentence
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
	// Lines is the end of what it wrote to stdout and stderr.
	Lines() []Line
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

// Line is a line that an instance wrote, and when it was read.
type Line struct {
	At   time.Time
	Text string
}
