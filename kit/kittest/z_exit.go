package kittest

import (
	"context"
	"net"
	"time"
)

var z13ExitInTime = Rule{
	ID: "Z13", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "it exits by itself in time: with 0 when all was answered, and before it is killed when something was not",
	Why:   "a killed process writes no last words, closes nothing, and cuts without counting",
	Fix:   "one absolute deadline from the grace period; cut and count what is left before it",
	Run: func(ctx context.Context, s *Session) Result {
		e, err := s.loaded()
		if err != nil {
			return fail(nil, "%v", err)
		}
		took := e.exit.At.Sub(e.stopped)
		if limit := s.Spec.killed() - time.Second + tolerance; took > limit {
			return fail(nil, "exited only after %v; %v would have been in time", took.Round(10*time.Millisecond), limit)
		}
		if e.exit.Code != 0 {
			return fail([]string{"it said: " + e.in.Logs()}, "all load was within the budget, yet it exited with %v", e.exit)
		}
		over := s.overBudget(ctx)
		if over.Status != Pass {
			return over
		}
		return pass("exit 0 after %v; %s", took.Round(10*time.Millisecond), over.Why)
	},
}

// overBudget stops an instance under a request that would take too long.
func (s *Session) overBudget(ctx context.Context) Result {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in, err := s.startReady(ctx)
	if err != nil {
		return fail(nil, "%v", err)
	}
	defer in.Kill()
	slow := s.askSlowly(ctx, in.Addr(), 2*s.Spec.Grace)
	time.Sleep(200 * time.Millisecond)
	stopped := time.Now()
	if err := s.terminate(in); err != nil {
		return fail(nil, "%v", err)
	}
	exit, ended := wait(in, stopped.Add(s.Spec.killed()))
	if !ended {
		return fail(nil, "under a request longer than its budget it was still running when it would be killed, %v after SIGTERM", s.Spec.killed())
	}
	took := exit.At.Sub(stopped).Round(10 * time.Millisecond)
	request := <-slow
	if request.err == nil && request.ended.Before(stopped) {
		return pass("over budget not judged: %s", notSlow)
	}
	report, err := parseReport(in)
	if err != nil {
		return pass("over budget: exit %v after %v", exit, took)
	}
	// One that the service ended long before is Z9's matter.
	untilTheEnd := request.ended.After(exit.At.Add(-time.Second))
	if untilTheEnd && report.Cut.Requests == 0 {
		return fail(nil, "a request longer than its budget was cut, and the report does not count it")
	}
	return pass("over budget: exit %v after %v, %d cut and reported", exit, took, report.Cut.Requests)
}

var z14IdleExit = Rule{
	ID: "Z14", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "without traffic it exits soon after the drain: by D + C + 1 s",
	Why:   "every replica of every rollout pays for what a service waits without need",
	Fix:   "end the drain when it is over; wait for what is in flight, not for a fixed time",
	Run: func(ctx context.Context, s *Session) Result {
		in, err := s.startReady(ctx)
		if err != nil {
			return fail(nil, "%v", err)
		}
		defer in.Kill()
		stopped := time.Now()
		if err := s.terminate(in); err != nil {
			return fail(nil, "%v", err)
		}
		limit := s.Spec.Drain + s.Spec.Close + time.Second + tolerance
		exit, ended := wait(in, stopped.Add(limit))
		if !ended {
			return fail(nil, "idle, and still running %v after SIGTERM", limit)
		}
		return pass("idle, exited with %v after %v", exit, exit.At.Sub(stopped).Round(10*time.Millisecond))
	},
}

var z20NothingLeft = Rule{
	ID: "Z20", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "nothing outlives it: no child process, and its port is free within a second",
	Why:   "an orphan holds the port against the next version, or serves an old one for ever",
	Fix:   "pass the signal on to children and wait for them; run under an init that does",
	Run: func(ctx context.Context, s *Session) Result {
		in, err := s.startReady(ctx)
		if err != nil {
			return fail(nil, "%v", err)
		}
		defer in.Kill()
		if err := s.terminate(in); err != nil {
			return fail(nil, "%v", err)
		}
		if _, ended := wait(in, time.Now().Add(s.Spec.killed())); !ended {
			return fail(nil, "still running %v after SIGTERM", s.Spec.killed())
		}
		limit := time.Now().Add(time.Second)
		for {
			err := portFree(in.Addr())
			orphans := in.Orphans()
			if err == nil && len(orphans) == 0 {
				return pass("port free, no process left")
			}
			if time.Now().After(limit) {
				return fail(nil, "a second after the exit: processes left %v, listen: %v", orphans, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	},
}

// portFree listens there once.
func portFree(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return ln.Close()
}
