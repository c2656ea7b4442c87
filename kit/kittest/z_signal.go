package kittest

import (
	"context"
	"fmt"
	"os"
	"time"
)

var z1Signal = Rule{
	ID: "Z1", Must: true, Needs: []string{"Z3"},
	Title: "SIGTERM reaches the service and does not kill it",
	Why:   "a process that dies of SIGTERM, or never gets it, takes everything in flight with it",
	Fix:   "handle SIGTERM (kit does, and gapless wrap for a program in any language); start the program directly, not through a shell that keeps the signal for itself",
	How:   "the process is watched after SIGTERM: alive half a second later, and not ended by a signal",
	Run: firstStop(func(s *Session, e *episode) Result {
		if !e.exited {
			if what := e.reaction(); what != "" {
				return pass("alive after SIGTERM, and it heard it: %s", what)
			}
			return fail(nil, "SIGTERM changed nothing: %v later it still ran and served as before; a platform would have killed it", s.Spec.killed())
		}
		lived := e.exit.At.Sub(e.stopped)
		switch {
		case e.exit.Signal != "" || e.exit.Code == 143 || e.exit.Code == 137:
			return fail(nil, "SIGTERM killed it: exited with %v after %v", e.exit, lived.Round(time.Millisecond))
		case s.Spec.Hooked && lived < soon && e.exit.Code != 0:
			// As process 1 of a container nothing dies of the signal itself; runtimes exit instead.
			return fail(nil, "it was gone about a second after SIGTERM, with exit %v, as what does not handle it", e.exit)
		case lived < 500*time.Millisecond:
			return fail(nil, "it was gone %v after SIGTERM", lived.Round(time.Millisecond))
		}
		return pass("alive after SIGTERM, exited by itself with %v after %v", e.exit, lived.Round(10*time.Millisecond))
	}),
}

// soon is when, by the word of a kubelet, that counts in whole seconds, somebody is gone who did not stay for half a second.
const soon = 2 * time.Second

// reaction is how it showed that SIGTERM has reached the service; empty if
// nothing did.
func (e *episode) reaction() string {
	end := e.exit.At.Add(-200 * time.Millisecond) // what a kill changes is no reaction
	before := func(is func(answer) bool) func(answer) bool {
		return func(a answer) bool { return a.at.Before(end) && is(a) }
	}
	if a, ok := firstAnswer(e.readies, e.asked, before(answer.unready)); ok {
		return "not ready at " + e.after(a.at)
	}
	if a, ok := firstAnswer(e.open, e.asked, before(func(a answer) bool { return a.err != nil })); ok {
		return "no new connections from " + e.after(a.at)
	}
	for _, r := range e.replies {
		if r.announced && r.at.After(e.asked) && r.at.Before(end) {
			return "Connection: close from " + e.after(r.at)
		}
	}
	return ""
}

var z15RepeatedSignals = Rule{
	ID: "Z15", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "a repeated SIGTERM does not shorten the drain",
	Why:   "a kubelet that was restarted sends it again; whoever takes the second for 'now' drops what is in flight",
	Fix:   "ignore SIGTERM once draining; let only a second SIGINT force the end",
	How:   "SIGTERM comes again after 1 s and 3 s, or within the drain where that is shorter; requests ten times a second until nearly the drain's end must be answered",
	Run: func(ctx context.Context, s *Session) Result {
		result := s.fairly(ctx, func() Result { return s.threeTimes(ctx) })
		if result.Status == Pass {
			result.Why += "; a second SIGINT: " + s.interrupted(ctx)
		}
		return result
	},
}

// threeTimes stops an instance by three SIGTERM.
func (s *Session) threeTimes(ctx context.Context) Result {
	result := fail(nil, "")
	err := s.useReady(ctx, func(ctx context.Context, in Instance) error {
		s.doing("stop by three SIGTERM")
		stopped := time.Now()
		asking, stop := context.WithDeadline(ctx, stopped.Add(s.Spec.drain()-s.Spec.Tolerance))
		defer stop()
		answers := poll(asking, 100*time.Millisecond, func(ctx context.Context) answer { return s.request(ctx, in) })
		for _, at := range []time.Duration{0, min(time.Second, s.Spec.drain()/4), min(3*time.Second, s.Spec.drain()/2)} {
			pause(ctx, time.Until(stopped.Add(at)))
			if err := terminate(in); err != nil {
				return err
			}
		}
		for _, a := range answers() {
			if a.err != nil {
				result = fail(nil, "after three SIGTERM it did not serve until the drain's end: %v %v after the first", a, a.at.Sub(stopped).Round(10*time.Millisecond))
				return ctx.Err()
			}
		}
		exit, ended := wait(ctx, in, stopped.Add(s.Spec.killed()))
		if !ended {
			result = fail(nil, "after three SIGTERM it was still running when it would be killed")
			return ctx.Err()
		}
		result = pass("served until the drain's end, exit %v", exit)
		return nil
	})
	if err != nil {
		return fail(nil, "%v", err)
	}
	return result
}

// interrupted says what a second SIGINT does. A should, so only told.
func (s *Session) interrupted(ctx context.Context) (what string) {
	err := s.useReady(ctx, func(ctx context.Context, in Instance) error {
		for range 2 {
			if err := in.Signal(os.Interrupt); err != nil {
				return err
			}
			pause(ctx, 50*time.Millisecond)
		}
		exit, ended := wait(ctx, in, time.Now().Add(time.Second))
		what = "did not end it within 1s (should)"
		if ended {
			what = fmt.Sprintf("exit %v at once", exit)
		}
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return what
}

var z16BeforeReady = Rule{
	ID: "Z16", Must: true, Needs: []string{"Z3"},
	Title: "SIGTERM before it is ready ends it within two seconds, without a drain",
	Why:   "nobody was sent here yet; a rollout that is taken back should not wait for a version that never served",
	Fix:   "handle SIGTERM from the first moment; skip the drain while not ready; give up loading when asked to stop",
	How:   "an instance that starts slowly gets SIGTERM after 0.2 s",
	Run: func(ctx context.Context, s *Session) Result {
		if len(s.Spec.SlowStart) == 0 {
			return skip("not judged: no way is known to make its start slow (Spec.SlowStart, check --slow-start)")
		}
		return s.fairly(ctx, func() Result { return s.beforeReady(ctx) })
	},
}

// beforeReady stops an instance that starts slowly.
func (s *Session) beforeReady(ctx context.Context) Result {
	result := fail(nil, "")
	err := s.use(ctx, s.Spec.SlowStart, func(ctx context.Context, in Instance) error {
		pause(ctx, 200*time.Millisecond)
		if s.ready(ctx, in).ok() {
			result = skip("not judged: ready within 0.2s in spite of %v", s.Spec.SlowStart)
			return nil
		}
		s.doing("stop before it is ready")
		var exit Exit
		var ended bool
		stopped := time.Now().Add(s.Spec.hook())
		if err := terminate(in); err != nil {
			return err
		}
		slack := s.slack(s.timed(ctx, func() { exit, ended = wait(ctx, in, stopped.Add(4*time.Second)) }))
		if took := exit.At.Sub(stopped); !ended || took > 2*time.Second+slack {
			result = fail(nil, "still running 2s after SIGTERM, though it was not ready")
			return ctx.Err()
		}
		result = pass("exited with %v after %v", exit, exit.At.Sub(stopped).Round(time.Millisecond))
		return nil
	})
	if err != nil {
		return fail(nil, "%v", err)
	}
	return result
}
