package apistatus

import (
	"fmt"
	"strings"
	"time"
)

// A Failure is a way of going wrong on purpose.
type Failure struct {
	// Version is the only one that fails; empty: each.
	Version string
	How     How
	// After is how long a service has served before it dies or begins to answer errors, and by how much a slow one is late.
	After time.Duration
	// Share of the requests, 0 to 1, that are answered with an error.
	Share float64
}

// A How names a way of going wrong.
type How string

// The ways.
const (
	FailNot        How = ""
	FailExit       How = "exit"        // ends at once with code 1
	FailNeverReady How = "never-ready" // listens, and is never ready
	FailReady500   How = "ready500"    // answers 500 when asked whether it is ready
	FailDieAfter   How = "die-after"   // serves for a while, then ends with code 1 in the middle of what it does
	FailErrors     How = "errors"      // answers a share of the requests with 500, from the beginning or after a while
	FailPost       How = "post-errors" // the same of POST requests only
	FailSlow       How = "slow"        // answers each request so much later
)

// ParseFailure reads "", "exit", "never-ready", "ready500", "die-after=5s", "errors=2%", "errors=2%@60s" (from the 60th second on),
// "post-errors=50%" or "slow=100ms", each with "2.0.0:" before it for one version only.
func ParseFailure(s string) (Failure, error) {
	var f Failure
	if v, how, ok := strings.Cut(s, ":"); ok {
		f.Version, s = v, how
	}
	how, after, timed := strings.Cut(s, "=")
	f.How = How(how)
	switch f.How {
	case FailNot, FailExit, FailNeverReady, FailReady500:
		if !timed {
			return f, nil
		}
	case FailErrors, FailPost, FailSlow:
		if f, ok := parseTrouble(f, f.How, after); ok {
			return f, nil
		}
	case FailDieAfter:
		d, err := time.ParseDuration(after)
		if err == nil && d > 0 {
			f.After = d
			return f, nil
		}
	}
	return Failure{}, fmt.Errorf("-fail %q: write exit, never-ready, ready500, die-after=5s, errors=2%%, errors=2%%@60s, post-errors=50%% or slow=100ms", s)
}

// in is the failure as it is seen by a version.
func (f Failure) in(version string) Failure {
	if f.Version != "" && f.Version != version {
		return Failure{}
	}
	return f
}
