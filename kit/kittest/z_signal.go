package kittest

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

var z1Signal = Rule{
	ID: "Z1", Must: true, Needs: []string{"Z3"},
	Title: "SIGTERM reaches the service and does not kill it",
	Why:   "a process that dies of SIGTERM, or never gets it, takes everything in flight with it",
	Fix:   "handle SIGTERM (kit does); start the program directly, not through a shell that keeps the signal for itself",
	Run: func(ctx context.Context, s *Session) Result {
		e, err := s.loaded()
		if err != nil {
			return fail(nil, "%v", err)
		}
		if !e.exited {
			return fail(nil, "still running %v after SIGTERM; a platform would have killed it", s.Spec.killed())
		}
		lived := e.exit.At.Sub(e.stopped)
		if e.exit.Signal != "" || e.exit.Code == 143 || e.exit.Code == 137 {
			return fail(nil, "SIGTERM killed it: exited with %v after %v", e.exit, lived.Round(time.Millisecond))
		}
		if lived < 500*time.Millisecond {
			return fail(nil, "it was gone %v after SIGTERM", lived.Round(time.Millisecond))
		}
		return pass("alive after SIGTERM, exited by itself with %v after %v", e.exit, lived.Round(10*time.Millisecond))
	},
}

// terminate sends SIGTERM.
func (s *Session) terminate(in Instance) error {
	if err := in.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("SIGTERM: %w", err)
	}
	return nil
}

var z15RepeatedSignals = Rule{
	ID: "Z15", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "a repeated SIGTERM does not shorten the drain",
	Why:   "a kubelet that was restarted sends it again; whoever takes the second for 'now' drops what is in flight",
	Fix:   "ignore SIGTERM once draining; let only a second SIGINT force the end",
	Run: func(ctx context.Context, s *Session) Result {
		in, err := s.startReady(ctx)
		if err != nil {
			return fail(nil, "%v", err)
		}
		defer in.Kill()
		stopped := time.Now()
		for _, at := range []time.Duration{0, min(time.Second, s.Spec.Drain/4), min(3*time.Second, s.Spec.Drain/2)} {
			time.Sleep(time.Until(stopped.Add(at)))
			if err := s.terminate(in); err != nil {
				return fail(nil, "%v", err)
			}
		}
		time.Sleep(time.Until(stopped.Add(s.Spec.Drain - tolerance)))
		if a := ask(ctx, "http://"+in.Addr()+s.Spec.Path); a.err != nil {
			return fail(nil, "after three SIGTERM it did not serve until the drain's end: %v", a)
		}
		exit, ended := wait(in, stopped.Add(s.Spec.killed()))
		if !ended {
			return fail(nil, "after three SIGTERM it was still running when it would be killed")
		}
		return pass("served until the drain's end, exit %v; a second SIGINT: %s", exit, s.interrupted(ctx))
	},
}

// interrupted says what a second SIGINT does. A should, so only told.
func (s *Session) interrupted(ctx context.Context) string {
	in, err := s.startReady(ctx)
	if err != nil {
		return err.Error()
	}
	defer in.Kill()
	for range 2 {
		_ = in.Signal(os.Interrupt)
		time.Sleep(50 * time.Millisecond)
	}
	began := time.Now()
	exit, ended := wait(in, began.Add(time.Second))
	if !ended {
		return "did not end it within 1s (should)"
	}
	return fmt.Sprintf("exit %v at once", exit)
}

var z16BeforeReady = Rule{
	ID: "Z16", Must: true, Needs: []string{"Z3"},
	Title: "SIGTERM before it is ready ends it within two seconds, without a drain",
	Why:   "nobody was sent here yet; a rollout that is taken back should not wait for a version that never served",
	Fix:   "handle SIGTERM from the first moment; skip the drain while not ready; give up loading when asked to stop",
	Run: func(ctx context.Context, s *Session) Result {
		if len(s.Spec.SlowStart) == 0 {
			return skip("not judged: no way is known to make its start slow (Spec.SlowStart)")
		}
		in, err := s.start(ctx, s.Spec.SlowStart...)
		if err != nil {
			return fail(nil, "%v", err)
		}
		defer in.Kill()
		time.Sleep(200 * time.Millisecond)
		if ask(ctx, "http://"+in.HealthAddr()+s.Spec.ReadyPath).ok() {
			return skip("not judged: ready within 0.2s in spite of %v", s.Spec.SlowStart)
		}
		stopped := time.Now()
		if err := s.terminate(in); err != nil {
			return fail(nil, "%v", err)
		}
		exit, ended := wait(in, stopped.Add(2*time.Second+tolerance))
		if !ended {
			return fail(nil, "still running 2s after SIGTERM, though it was not ready")
		}
		return pass("exited with %v after %v", exit, exit.At.Sub(stopped).Round(time.Millisecond))
	},
}
