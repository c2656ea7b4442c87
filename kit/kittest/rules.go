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

// hooked judges by the spec's own judge, or not at all.
func hooked(id, need string) func(context.Context, *Session) Result {
	return func(ctx context.Context, s *Session) Result {
		if judge := s.Spec.Judges[id]; judge != nil {
			return judge(ctx, s)
		}
		return skip("not judged: %s", need)
	}
}
