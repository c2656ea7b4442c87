// Package gate is the port to gates: what answers whether a rollout may go on is a Gate. A Panel has all gates of an app asked.
package gate

import (
	"context"
	"slices"

	"gapless.dev/gapless/internal/rollout"
)

// A Gate answers questions about one app. Its life:
//
//  1. It is made of what the user wrote, which is right by then.
//  2. For each question, Watch is called in a goroutine of its own. There is at most one at a time.
//  3. Watch says an answer as soon as it has one, and again when that changes. The last one counts.
//  4. When ctx ends, nobody is interested any more.
//  5. After a restart the same question may be put once more, with the Memory of the answer that was kept last.
type Gate interface {
	// Watch answers until ctx ends, or until nothing more will change. An error says that the question cannot be answered now: it is put
	// again in a while, and until then the answer is wait. Of is filled in by whoever listens.
	Watch(ctx context.Context, q Question, say func(rollout.Verdict)) error
}

// A Question is what a Gate is asked.
type Question struct {
	rollout.Question
	// Name of the gate.
	Name string
	// Memory of the newest answer to this question that was kept; empty at first.
	Memory string
	// Subject is what the question is about, as it stands now.
	Subject func() Subject
	// Saw is told of each answer that came through the address that clients use: which version gave it, and when the request began.
	Saw func(Sighting)
}

// A Subject is an app with its two versions.
type Subject struct {
	App       string
	Namespace string
	Stable    Side
	Candidate Side
	// Entry is the address that clients use, as http://HOST:PORT. Empty: there is none that is known.
	Entry string
	// Host is sent as the host of requests to Entry; empty: that of Entry.
	Host string
	// Ready is the path of the readiness check over HTTP; empty: there is none. Secure tells that it is asked over TLS.
	Ready  string
	Secure bool
}

// A Side is one version.
type Side struct {
	// Version as the engine knows it, and Name as people do.
	Version rollout.Version
	Name    string
	// Pods is a regular expression for the names of its pods, also of those that are gone.
	Pods string
	// Weight is its share of the traffic in percent.
	Weight int
	// Instances are all that are known of.
	Instances []Instance
}

// An Instance is a pod or a process.
type Instance struct {
	Name string
	// Address is HOST:PORT where Gapless reaches what clients reach at Entry, and Health where the readiness check is asked.
	Address string
	Health  string
	// Serving tells that it is ready and can be sent to.
	Serving bool
	// Leaving tells that it is on its way out: what is lost there now is nobody's fault.
	Leaving bool
}

// Serving are the instances that can be sent to.
func (s Side) Serving() []Instance {
	return slices.DeleteFunc(slices.Clone(s.Instances), func(i Instance) bool { return !i.Serving || i.Leaving })
}
