package kittest

import (
	"context"
	"fmt"
	"slices"
)

var z11Streams = Rule{
	ID: "Z11", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "streams end with a goodbye before the deadline: a WebSocket with 1001 or 1012, an event stream with its end",
	Why:   "a client that is told reconnects at once and elsewhere; one that is cut must first find out",
	Fix:   "select on kit.Draining in the handler, say goodbye and return; use kit.Track for what is hijacked",
	Run: func(ctx context.Context, s *Session) Result {
		e, err := s.loaded()
		if err != nil {
			return fail(nil, "%v", err)
		}
		for name, err := range e.unopened {
			return fail(nil, "the %s could not be opened: %v", name, err)
		}
		if len(e.streams) == 0 {
			return skip("not judged: the spec names no stream (EventPath, SocketPath)")
		}
		var bad, good []string
		for name, end := range e.streams {
			line := fmt.Sprintf("%s: %s ended: %s", e.after(end.at), name, end.how)
			if !end.clean || end.at.Before(e.stopped) {
				bad = append(bad, line)
			}
			good = append(good, line)
		}
		if len(bad) > 0 {
			return fail(bad, "%d of %d streams ended without a goodbye", len(bad), len(e.streams))
		}
		slices.Sort(good)
		return pass("%v", good)
	},
}

var z12GRPC = Rule{
	ID: "Z12", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "gRPC health turns NOT_SERVING within a second of SIGTERM, and calls are answered for the whole drain",
	Why:   "gRPC clients keep one connection to one instance; health is how they learn to leave it",
	Fix:   "grpckit.Serve: NOT_SERVING, serve on for the drain, GracefulStop with a deadline, Stop",
	Run:   hooked("Z12", "the spec has no gRPC judge (Judges)"),
}

var z17Workers = Rule{
	ID: "Z17", Needs: []string{"Z3", "Z1"},
	Title: "consumers and timers start nothing after SIGTERM, and finish or hand back what they are at",
	Why:   "an item that is taken and not finished is lost, or done twice",
	Fix:   "run them by kit's Go: their context ends when the drain starts, and they are waited for",
	Run:   hooked("Z17", "needs to know the service's consumers (Judges)"),
}

var z18Dependencies = Rule{
	ID: "Z18", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "dependencies stay usable until the last request has ended",
	Why:   "a request in flight that finds the database closed fails as surely as one that was cut",
	Fix:   "close in reverse order of need, after requests in flight (kit: OnStop)",
	Run:   hooked("Z18", "needs a handler that touches a dependency (Judges)"),
}

var z19ExactlyOnce = Rule{
	ID: "Z19", Needs: []string{"Z3", "Z1"},
	Title: "what the service did equals what its clients were told",
	Why:   "a retried request that had been carried out is carried out twice",
	Fix:   "idempotency keys; retry only what is known not to have begun",
	Run:   hooked("Z19", "needs to count the service's own effects (Judges)"),
}
