package kittest

import (
	"fmt"
	"slices"
	"time"
)

var z11Streams = Rule{
	ID: "Z11", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "streams end with a goodbye before the deadline: a WebSocket with 1001 or 1012, an event stream with its end, gRPC with OK or UNAVAILABLE",
	Why:   "a client that is told reconnects at once and elsewhere; one that is cut must first find out",
	Fix:   "select on kit.Draining in the handler, say goodbye and return; use kit.Track for what is hijacked",
	How:   "the streams that are named are opened before SIGTERM and followed to their end",
	Run:   everyStop(judgeStreams),
}

func judgeStreams(_ *Session, e *episode) Result {
	for name, err := range e.unopened {
		return fail(nil, "the %s could not be opened: %v", name, err)
	}
	if len(e.streams) == 0 {
		return skip("not judged: no stream is named (Spec.EventPath, SocketPath; check --events, --socket)")
	}
	var bad, good []string
	for name, end := range e.streams {
		line := fmt.Sprintf("%s: %s ended: %s", e.after(end.at), name, end.how)
		if !end.clean || end.at.Before(e.asked) {
			bad = append(bad, line)
		}
		good = append(good, line)
	}
	slices.Sort(bad)
	slices.Sort(good)
	if len(bad) > 0 {
		return fail(bad, "%d of %d streams ended without a goodbye", len(bad), len(e.streams))
	}
	return pass("%v", good)
}

var z12GRPC = Rule{
	ID: "Z12", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "gRPC health turns NOT_SERVING within a second of SIGTERM, and calls are answered for the whole drain",
	Why:   "gRPC clients keep one connection to one instance; health is how they learn to leave it",
	Fix:   "grpckit.Serve: NOT_SERVING, serve on for the drain, GracefulStop with a deadline, Stop",
	How:   "a client watches grpc.health.v1.Health, another calls it ten times a second on a new connection each",
	Run:   everyStop(judgeGRPC),
}

func judgeGRPC(s *Session, e *episode) Result {
	if !s.Spec.GRPC {
		return skip("not judged: it serves no gRPC")
	}
	if err := e.unopened["gRPC health"]; err != nil {
		return fail(nil, "%v", err)
	}
	limit := time.Second + e.slack
	switch turned := e.grpc.turned; {
	case turned.IsZero():
		return fail([]string{"the watch ended: " + e.grpc.goodbye.how}, "watchers of gRPC health were never told NOT_SERVING")
	case turned.Before(e.asked):
		return fail(nil, "gRPC health turned NOT_SERVING at %s, before the stop", e.after(turned))
	case turned.Sub(e.stopped) > limit:
		return fail(nil, "watchers of gRPC health were told NOT_SERVING only at %s", e.after(turned))
	}
	var refused []string
	calls := 0
	for _, a := range e.calls {
		if a.at.Before(e.asked) || a.at.After(e.stopped.Add(s.Spec.drain()-e.slack)) {
			continue
		}
		calls++
		if a.err != nil {
			refused = append(refused, fmt.Sprintf("%s: a call of gRPC health: %v", e.after(a.at), a))
		}
		if a.ok() && a.at.Sub(e.stopped) > limit {
			return fail(nil, "gRPC health answered SERVING at %s", e.after(a.at))
		}
	}
	if len(refused) > 0 {
		return fail(refused, "%d of %d calls in the drain were not answered", len(refused), calls)
	}
	return pass("watchers were told NOT_SERVING at %s; %d calls in the drain, all answered", e.after(e.grpc.turned), calls)
}
