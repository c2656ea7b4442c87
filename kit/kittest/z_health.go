package kittest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gapless.dev/kit/load"
)

var z2Live = Rule{
	ID: "Z2", Must: true, Needs: []string{"Z3"},
	Title: "liveness is 200 from two seconds after the start until the end, within a second, also under load and while draining",
	Why:   "a liveness check that fails under load or during a drain gets the service killed with everything in flight",
	Fix:   "answer liveness from the process itself, without dependencies; serve it on a listener that ends last (kit: Health)",
	Run: func(ctx context.Context, s *Session) Result {
		e, err := s.loaded()
		if err != nil {
			return fail(nil, "%v", err)
		}
		// On the service's own port it ends with the port.
		end := e.exit.At.Add(-tolerance)
		if e.in.HealthAddr() == e.in.Addr() {
			end = e.acceptEnded().Add(-tolerance)
		}
		var bad []string
		judged := 0
		for _, a := range e.lives {
			if a.at.Before(e.began.Add(2*time.Second)) && a.at.Before(e.ready) || a.at.After(end) {
				continue
			}
			judged++
			if a.status != 200 || a.took > patience {
				bad = append(bad, fmt.Sprintf("%s: %v after %v", e.after(a.at), a, a.took.Round(time.Millisecond)))
			}
		}
		if len(bad) > 0 {
			return fail(bad, "%d of %d liveness checks were not 200 within %v", len(bad), judged, patience)
		}
		return pass("%d liveness checks, all 200", judged)
	},
}

var z3Ready = Rule{
	ID: "Z3", Must: true,
	Title: "readiness is given only when the service can serve: the first requests after it are all answered",
	Why:   "traffic comes with the first 2xx; whatever is not served then is lost",
	Fix:   "be ready only after listening, and after what must be loaded has been (kit: ReadyWhen)",
	Run: func(ctx context.Context, s *Session) Result {
		e, err := s.loaded()
		if err != nil {
			return fail(nil, "%v", err)
		}
		lost := losses(e, e.first, nil)
		if len(lost) > 0 {
			return fail(lost, "%d of the first %d requests after ready were lost", len(lost), len(e.first))
		}
		return pass("ready after %v; the first %d requests were answered, p99 %v",
			e.ready.Sub(e.began).Round(time.Millisecond), len(e.first), p99(e.first).Round(100*time.Microsecond))
	},
}

var z4Readiness = Rule{
	ID: "Z4", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "after SIGTERM readiness changes as declared: Flip within a second, or ServeTerminating until nothing is accepted; and never back",
	Why:   "where nobody else announces the end (a node shutdown, a restart in place), readiness is the only signal that stops traffic",
	Fix:   "answer 503 from SIGTERM on (kit does), or declare ServeTerminating",
	Run: func(ctx context.Context, s *Session) Result {
		e, err := s.loaded()
		if err != nil {
			return fail(nil, "%v", err)
		}
		var after []answer
		for _, a := range e.readies {
			if a.at.After(e.stopped) {
				after = append(after, a)
			}
		}
		change := slices.IndexFunc(after, answer.unready)
		if change < 0 {
			return fail(nil, "readiness never changed in the %d checks after SIGTERM", len(after))
		}
		at := after[change].at
		if s.Spec.Readiness == ServeTerminating && at.Before(e.acceptEnded().Add(-tolerance)) {
			return fail(nil, "declared %s, but readiness ended at %s while the service still accepted", ServeTerminating, e.after(at))
		}
		if s.Spec.Readiness == Flip && at.Sub(e.stopped) > time.Second+tolerance {
			return fail(nil, "readiness changed only at %s", e.after(at))
		}
		for _, a := range after[change:] {
			if a.ok() {
				return fail(nil, "readiness was %v again at %s", a, e.after(a.at))
			}
		}
		return pass("readiness changed at %s (%v) and stayed so", e.after(at), after[change])
	},
}

// losses are the lost requests of those that were due when due is true, in words.
func losses(e *episode, results []load.Result, due func(load.Result) bool) []string {
	var lost []string
	for _, r := range results {
		if !r.Class.Lost() || r.Class == load.Overload || due != nil && !due(r) {
			continue
		}
		conn := "new connection"
		if r.Reused {
			conn = "kept connection"
		}
		lost = append(lost, fmt.Sprintf("%s: %s %s on a %s: %s: %s", e.after(r.Scheduled), r.Method, r.Proto, conn, r.Class, r.Err))
	}
	return lost
}

func p99(results []load.Result) time.Duration {
	if len(results) == 0 {
		return 0
	}
	var took []time.Duration
	for _, r := range results {
		took = append(took, r.Latency())
	}
	slices.Sort(took)
	return took[(len(took)*99-1)/100]
}
