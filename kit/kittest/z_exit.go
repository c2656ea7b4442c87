package kittest

import (
	"context"
	"fmt"
	"net"
	"time"
)

var z13ExitInTime = Rule{
	ID: "Z13", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "it exits by itself in time: with 0 when all was answered, and before it is killed when something was not",
	Why:   "a killed process writes no last words, closes nothing, and cuts without counting",
	Fix:   "one absolute deadline from the grace period; cut and count what is left before it",
	How:   "the exits of the stops under load, and one of a stop under a request that lasts twice the grace period",
	Run: func(ctx context.Context, s *Session) Result {
		result := everyStop(judgeExit)(ctx, s)
		if result.Status != Pass {
			return result
		}
		if s.Spec.Brief {
			result.Why += "; over budget not tried (it takes the whole grace period)"
			return result
		}
		over := s.overBudget(ctx)
		if over.Status != Fail {
			over.Why = result.Why + "; " + over.Why
		}
		return over
	},
}

func judgeExit(s *Session, e *episode) Result {
	took := e.exit.At.Sub(e.stopped)
	if !e.exited {
		return fail(nil, "still running %v after SIGTERM, when it would be killed", s.Spec.killed())
	}
	if limit := s.Spec.killed() - time.Second + e.slack; took > limit {
		return fail(nil, "exited only after %v; %v would have been in time", took.Round(10*time.Millisecond), limit.Round(10*time.Millisecond))
	}
	if e.exit.Code != 0 {
		return fail(nil, "all load was within the budget, yet it exited with %v", e.exit)
	}
	return pass("exit 0 after %v", took.Round(10*time.Millisecond))
}

// overBudget stops an instance under a request that would take too long.
func (s *Session) overBudget(ctx context.Context) (result Result) {
	if s.rides() {
		hard, err := s.hard()
		if err != nil {
			return fail(nil, "%v", err)
		}
		return hard.over
	}
	err := s.useReady(ctx, func(ctx context.Context, in Instance) error {
		s.doing("stop under a request of %v", 2*s.Spec.Grace)
		slow := s.askSlowly(ctx, in.Addr(), 2*s.Spec.Grace)
		pause(ctx, 200*time.Millisecond)
		stopped := time.Now().Add(s.Spec.hook())
		if err := terminate(in); err != nil {
			return err
		}
		result = s.judgeEnd(ctx, in, stopped, slow)
		return ctx.Err()
	})
	if err != nil {
		return fail(nil, "%v", err)
	}
	return result
}

// judgeEnd waits for the end of an instance under a request that takes too
// long.
func (s *Session) judgeEnd(ctx context.Context, in Instance, stopped time.Time, slow <-chan slowRequest) Result {
	exit, ended := wait(ctx, in, stopped.Add(s.Spec.killed()))
	in.Kill()
	if !ended || s.killedByPlatform(exit, stopped) {
		return fail(nil, "under a request longer than its budget it was still running when it would be killed, %v after SIGTERM", s.Spec.killed())
	}
	return judgeOver(s, in, exit, stopped, <-slow)
}

func judgeOver(s *Session, in Instance, exit Exit, stopped time.Time, request slowRequest) Result {
	took := exit.At.Sub(stopped)
	if request.err == nil && request.ended.Before(stopped) {
		return pass("over budget not judged: %s", notSlow)
	}
	report, err := parseReport(in)
	if err != nil {
		return skip("over budget: exit %v after %v, and whether it counted what it cut is not known: %v", exit, took.Round(10*time.Millisecond), err)
	}
	// One that the service ended long before is Z9's matter.
	untilTheEnd := request.ended.After(exit.At.Add(-time.Second))
	if untilTheEnd && report.Cut.Requests == 0 {
		return fail(nil, "a request longer than its budget was cut, and the report does not count it")
	}
	return pass("over budget: exit %v after %v, %d cut and reported", exit, took.Round(10*time.Millisecond), report.Cut.Requests)
}

// idleStop is the stop of an instance that nobody asks for anything.
type idleStop struct {
	stopped time.Time
	exit    Exit
	ended   bool
	orphans []int
	port    error // what listening on its port says a second after its end
	slack   time.Duration
}

func (s *Session) stopIdle(ctx context.Context) (idle idleStop, err error) {
	err = s.useReady(ctx, func(ctx context.Context, in Instance) error {
		s.doing("stop without any load")
		var failed error
		late := s.timed(ctx, func() {
			idle.stopped = time.Now().Add(s.Spec.hook())
			if failed = terminate(in); failed == nil {
				idle.exit, idle.ended = wait(ctx, in, idle.stopped.Add(s.Spec.killed()))
			}
		})
		idle.slack = s.slack(late)
		if failed != nil || !idle.ended {
			return failed
		}
		limit := time.Now().Add(time.Second + idle.slack)
		for {
			idle.port, idle.orphans = portFree(in.Addr()), in.Orphans()
			if idle.port == nil && len(idle.orphans) == 0 || time.Now().After(limit) {
				return ctx.Err()
			}
			pause(ctx, 50*time.Millisecond)
		}
	})
	return idle, err
}

// portFree listens there once.
func portFree(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return ln.Close()
}

var z14IdleExit = Rule{
	ID: "Z14", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "without traffic it exits soon after the drain: by D + C + 1 s",
	Why:   "every replica of every rollout pays for what a service waits without need",
	Fix:   "end the drain when it is over; wait for what is in flight, not for a fixed time",
	How:   "a stop without any load is timed",
	Run: func(_ context.Context, s *Session) Result {
		idle, err := s.idle()
		if err != nil {
			return fail(nil, "%v", err)
		}
		limit := s.Spec.drain() + s.Spec.Close + time.Second + idle.slack
		took := idle.exit.At.Sub(idle.stopped).Round(10 * time.Millisecond)
		switch {
		case !idle.ended:
			return fail(nil, "idle, and still running %v after SIGTERM", s.Spec.killed())
		case took > limit:
			return fail(nil, "idle, and it ran on for %v after SIGTERM; %v would do", took, limit.Round(10*time.Millisecond))
		}
		return pass("idle, exited with %v after %v", idle.exit, took)
	},
}

var z20NothingLeft = Rule{
	ID: "Z20", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "nothing outlives it: no child process, and its port is free within a second",
	Why:   "an orphan holds the port against the next version, or serves an old one for ever",
	Fix:   "pass the signal on to children and wait for them; run under an init that does",
	How:   "after a stop without load its processes are looked for, and its port is listened on",
	Run: func(_ context.Context, s *Session) Result {
		idle, err := s.idle()
		if err != nil {
			return fail(nil, "%v", err)
		}
		switch {
		case !idle.ended:
			return skip("blocked by Z14")
		case idle.port != nil || len(idle.orphans) > 0:
			return fail(nil, "a second after the exit: processes left %v, its port: %s", idle.orphans, portState(idle.port))
		}
		return pass("port free, no process left")
	},
}

func portState(err error) string {
	if err == nil {
		return "free"
	}
	return fmt.Sprintf("not free (%s)", cause(err))
}
