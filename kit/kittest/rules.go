package kittest

import (
	"context"
	"fmt"
)

// Rules are the rules in the order in which they are judged: what others need
// comes first.
func Rules() []Rule {
	return []Rule{
		z3Ready, // nothing can be judged of a service that does not start
		z1Signal,
		z2Live,
		z4Readiness,
		z5NewConnections,
		z6KeptConnections,
		z7IdleConnections,
		z8Announce,
		z9InFlight,
		z10Edge,
		z11Streams,
		z12GRPC,
		z13ExitInTime,
		z14IdleExit,
		z15RepeatedSignals,
		z16BeforeReady,
		z17Workers,
		z18Dependencies,
		z19ExactlyOnce,
		z20NothingLeft,
		z21Version,
		z22Report,
	}
}

func pass(format string, args ...any) Result {
	return Result{Status: Pass, Why: fmt.Sprintf(format, args...)}
}

func fail(evidence []string, format string, args ...any) Result {
	return Result{Status: Fail, Why: fmt.Sprintf(format, args...), Evidence: few(evidence)}
}

func skip(format string, args ...any) Result {
	return Result{Status: Skip, Why: fmt.Sprintf(format, args...)}
}

// few keeps evidence readable: the first and the last of many.
func few(lines []string) []string {
	const most = 8
	if len(lines) <= most {
		return lines
	}
	short := append([]string(nil), lines[:most-2]...)
	return append(short, fmt.Sprintf("... and %d more, the last:", len(lines)-most+1), lines[len(lines)-1])
}

// firstStop judges the first stop under load.
func firstStop(judge func(*Session, *episode) Result) func(context.Context, *Session) Result {
	return func(_ context.Context, s *Session) Result {
		e, err := s.first()
		if err != nil {
			return fail(nil, "%v", err)
		}
		return told(e, judge(s, e))
	}
}

// everyStop judges all stops under load, and tells the first that fails, with
// what the service said around it.
func everyStop(judge func(*Session, *episode) Result) func(context.Context, *Session) Result {
	return alike(func(s *Session, e *episode) Result { return told(e, judge(s, e)) })
}

// alike judges all stops under load, and tells the first that fails.
func alike(judge func(*Session, *episode) Result) func(context.Context, *Session) Result {
	return func(_ context.Context, s *Session) Result {
		stops, err := s.stops()
		if err != nil {
			return fail(nil, "%v", err)
		}
		var first Result
		for i, e := range stops {
			one := judge(s, e)
			if i == 0 {
				first = one
			}
			if one.Status == Fail {
				if len(one.Evidence) == 0 {
					one = told(e, one)
				}
				if len(stops) > 1 {
					one.Why += fmt.Sprintf(" (in stop %d of %d)", e.number, len(stops))
				}
				return one
			}
		}
		if len(stops) > 1 && first.Status == Pass {
			first.Why = fmt.Sprintf("in each of %d stops; in the first: %s", len(stops), first.Why)
		}
		return first
	}
}

// told adds to a failure what the service itself said around the stop.
func told(e *episode, r Result) Result {
	if r.Status == Fail {
		for _, line := range e.saidAround(4) {
			r.Evidence = append(r.Evidence, line.String())
		}
	}
	return r
}
