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
	How:   "liveness is asked five times a second in all phases; with --deps-down also while nothing that it depends on answers",
	Run: func(ctx context.Context, s *Session) Result {
		if s.Spec.LivePath == None {
			return skip("not judged: no liveness is known, so nobody kills by it")
		}
		result := everyStop(judgeLive)(ctx, s)
		if result.Status != Pass || len(s.Spec.DepsDown) == 0 {
			return result
		}
		alone := s.fairly(ctx, func() Result { return s.liveAlone(ctx) })
		if alone.Status == Pass {
			alone.Why = result.Why + "; " + alone.Why
		}
		return alone
	},
}

func judgeLive(s *Session, e *episode) Result {
	// On the service's own port it ends with the port.
	end := e.exit.At.Add(-e.slack)
	if e.in.HealthAddr() == e.in.Addr() {
		end = e.acceptEnded().Add(-e.slack)
	}
	var bad []string
	judged := 0
	for _, a := range e.lives {
		if a.at.Before(e.began.Add(2*time.Second)) && a.at.Before(e.ready) || a.at.After(end) {
			continue
		}
		judged++
		// One that we gave up on is late, and no more than that.
		wrong := !timedOut(a.err) && (a.err != nil || a.status != 200)
		if wrong || a.took > patience+e.slack {
			bad = append(bad, fmt.Sprintf("%s: liveness %v after %v", e.after(a.at), a, a.took.Round(time.Millisecond)))
		}
	}
	if len(bad) > 0 {
		return fail(bad, "%d of %d liveness checks were not 200 within %v", len(bad), judged, patience)
	}
	return pass("%d liveness checks, all 200", judged)
}

// liveAlone starts an instance whose dependencies do not answer. It may stay
// unready for ever, but it is alive.
func (s *Session) liveAlone(ctx context.Context) Result {
	var answers []answer
	var slack time.Duration
	err := s.use(ctx, s.Spec.DepsDown, func(ctx context.Context, in Instance) error {
		began := time.Now()
		slack = s.slack(s.timed(ctx, func() {
			pause(ctx, 2*time.Second)
			polling, stop := context.WithTimeout(ctx, 2*time.Second)
			defer stop()
			answers = poll(polling, 200*time.Millisecond, func(ctx context.Context) answer { return health(ctx, in.HealthAddr(), s.Spec.LivePath) })()
		}))
		if exit, ended := wait(ctx, in, time.Now()); ended {
			return fmt.Errorf("exited with %v %v after the start, while what it depends on did not answer%s", exit, exit.At.Sub(began).Round(time.Millisecond), LastWords(in))
		}
		return ctx.Err()
	})
	if err != nil {
		return fail(nil, "%v", err)
	}
	for _, a := range answers {
		if !a.ok() || a.took > patience+slack {
			return fail(nil, "while what it depends on does not answer, liveness was %v after %v", a, a.took.Round(time.Millisecond))
		}
	}
	return pass("%d more while nothing that it depends on answered", len(answers))
}

var z3Ready = Rule{
	ID: "Z3", Must: true,
	Title: "readiness is given only when the service can serve: the first requests after it are all answered",
	Why:   "traffic comes with the first 2xx; whatever is not served then is lost",
	Fix:   "be ready only after listening, and after what must be loaded has been (kit: ReadyWhen)",
	How:   "200 requests follow the first 2xx of readiness at once",
	Run: firstStop(func(_ *Session, e *episode) Result {
		lost := losses(e, e.first, nil)
		if len(lost) > 0 {
			return fail(lost, "%d of the first %d requests after ready were lost", len(lost), len(e.first))
		}
		first, steady := p99(e.first), p99(slices.DeleteFunc(slices.Clone(e.requests), func(r load.Result) bool { return r.Scheduled.After(e.asked) }))
		cold := ""
		if steady > 0 && first > 3*steady && first > 10*time.Millisecond {
			cold = fmt.Sprintf(", more than three times the steady %v: warm up before being ready (should)", steady.Round(100*time.Microsecond))
		}
		return pass("ready after %v; the first %d requests were answered, p99 %v%s",
			e.ready.Sub(e.began).Round(time.Millisecond), len(e.first), first.Round(100*time.Microsecond), cold)
	}),
}

var z4Readiness = Rule{
	ID: "Z4", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "after SIGTERM readiness changes as declared: Flip within a second, or ServeTerminating until nothing is accepted; and never back",
	Why:   "where nobody else announces the end (a node shutdown, a restart in place), readiness is the only signal that stops traffic",
	Fix:   "answer 503 from SIGTERM on (kit does), or declare ServeTerminating",
	How:   "readiness is asked ten times a second",
	Run:   everyStop(judgeReadiness),
}

func judgeReadiness(s *Session, e *episode) Result {
	var after []answer
	for _, a := range e.readies {
		if a.at.After(e.asked) {
			after = append(after, a)
		}
	}
	change := slices.IndexFunc(after, answer.unready)
	if change < 0 {
		return fail(nil, "readiness never changed in the %d checks after SIGTERM", len(after))
	}
	at := after[change].at
	if s.Spec.Readiness == ServeTerminating && at.Before(e.acceptEnded().Add(-e.slack)) {
		return fail(nil, "declared %s, but readiness ended at %s while the service still accepted", ServeTerminating, e.after(at))
	}
	if s.Spec.Readiness == Flip && at.Sub(e.stopped) > time.Second+e.slack {
		return fail(nil, "readiness changed only at %s", e.after(at))
	}
	for _, a := range after[change:] {
		if a.ok() {
			return fail(nil, "readiness was %v again at %s", a, e.after(a.at))
		}
	}
	return pass("readiness changed at %s (%v) and stayed so", e.after(at), after[change])
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
		lost = append(lost, fmt.Sprintf("%s: %s %s on a %s: %s: %s", e.after(r.Scheduled), r.Method, r.Proto, conn, r.Class, packets(r)))
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
