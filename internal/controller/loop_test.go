package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// paper is a platform that keeps what it is told, and fails when it is told to.
type paper struct {
	seen  Seen
	did   []string
	fails map[string]int // how often each call still fails
}

var errPaper = errors.New("no")

func (p *paper) fail(call string) error {
	p.did = append(p.did, call)
	if p.fails[call] > 0 {
		p.fails[call]--
		return errPaper
	}
	return nil
}

func (p *paper) Observe(context.Context) (Seen, error) {
	p.seen.Snapshot.Now = time.Now().UTC().Round(0)
	return p.seen, p.fail("observe")
}

func (p *paper) Save(_ context.Context, s rollout.State) error {
	if err := p.fail("save"); err != nil {
		return err
	}
	p.seen.State = s
	return nil
}

func (p *paper) Apply(_ context.Context, a rollout.Action) error { return p.fail(string(a.Kind)) }

// count is an engine that takes steps up to a number, with two actions each.
func count(to int) func(rollout.Plan, rollout.State, rollout.Snapshot) rollout.Decision {
	return func(_ rollout.Plan, s rollout.State, seen rollout.Snapshot) rollout.Decision {
		s.LookedAt = seen.Now
		if s.Step < to {
			s.Step++
			return rollout.Decision{State: s, Actions: []rollout.Action{{Kind: rollout.Scale}, {Kind: rollout.SetRoute}}}
		}
		return rollout.Decision{State: s}
	}
}

func run(t *testing.T, l *Loop, f func(wake chan<- struct{})) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		wake, done := make(chan struct{}, 1), make(chan struct{})
		l.Wake = wake
		go func() {
			defer close(done)
			_ = l.Run(ctx)
		}()
		synctest.Wait()
		f(wake)
		cancel()
		<-done
	})
}

func TestLoop_SavesBeforeItAppliesAndLooksUntilNothingIsNew(t *testing.T) {
	p := &paper{}
	run(t, &Loop{Platform: p, Decide: count(2)}, func(chan<- struct{}) {})
	want := []string{"observe", "save", "scale", "route", "observe", "save", "scale", "route", "observe", "observe"}
	if diff := cmp.Diff(want, p.did); diff != "" {
		t.Error(diff)
	}
}

func TestLoop_RestsUntilItIsWoken(t *testing.T) {
	p := &paper{}
	settled := 0
	run(t, &Loop{Platform: p, Decide: count(0), Settled: func() { settled++ }}, func(wake chan<- struct{}) {
		time.Sleep(time.Hour)
		synctest.Wait()
		if settled != 1 {
			t.Errorf("settled %d times in an hour without an event", settled)
		}
		wake <- struct{}{}
		synctest.Wait()
	})
	if settled != 2 {
		t.Errorf("settled %d times", settled)
	}
}

func TestLoop_LooksAgainWhenTheDecisionSaysSo(t *testing.T) {
	p := &paper{}
	var looks []time.Duration
	began := time.Time{}
	decide := func(_ rollout.Plan, s rollout.State, seen rollout.Snapshot) rollout.Decision {
		if began.IsZero() {
			began = seen.Now
		}
		looks = append(looks, seen.Now.Sub(began))
		return rollout.Decision{State: s, LookAgain: seen.Now.Add(time.Minute)}
	}
	run(t, &Loop{Platform: p, Decide: decide}, func(chan<- struct{}) { time.Sleep(90 * time.Second); synctest.Wait() })
	looks = slices.Compact(looks)
	if diff := cmp.Diff([]time.Duration{0, time.Minute}, looks); diff != "" {
		t.Error(diff)
	}
}

func TestLoop_ACrashOrConflictAtAnyWriteChangesNothingButTime(t *testing.T) {
	for _, call := range []string{"observe", "save", "scale", "route"} {
		p := &paper{fails: map[string]int{call: 3}}
		var waits []time.Duration
		l := &Loop{Platform: p, Decide: repeat(2), Trouble: func(err error, again time.Duration) {
			if !errors.Is(err, errPaper) {
				t.Errorf("%s: %v", call, err)
			}
			waits = append(waits, again)
		}}
		run(t, l, func(chan<- struct{}) { time.Sleep(time.Minute); synctest.Wait() })
		if p.seen.State.Step != 2 {
			t.Errorf("%s failed three times: it got to %d", call, p.seen.State.Step)
		}
		if diff := cmp.Diff([]time.Duration{firstRetry, 2 * firstRetry, 4 * firstRetry}, waits); diff != "" {
			t.Errorf("%s: %s", call, diff)
		}
	}
}

// repeat is an engine that says its actions again as long as they are not known to be done.
func repeat(to int) func(rollout.Plan, rollout.State, rollout.Snapshot) rollout.Decision {
	steps := count(to)
	return func(p rollout.Plan, s rollout.State, seen rollout.Snapshot) rollout.Decision {
		d := steps(p, s, seen)
		d.Actions = []rollout.Action{{Kind: rollout.Scale}, {Kind: rollout.SetRoute}}
		return d
	}
}

func TestLoop_AnEngineThatNeverRestsDoesNotKeepTheProcessorBusy(t *testing.T) {
	p := &paper{}
	restless := func(_ rollout.Plan, s rollout.State, _ rollout.Snapshot) rollout.Decision {
		s.Step++
		return rollout.Decision{State: s}
	}
	run(t, &Loop{Platform: p, Decide: restless}, func(chan<- struct{}) { time.Sleep(time.Second - time.Millisecond); synctest.Wait() })
	if p.seen.State.Step > 10*maxLooks {
		t.Errorf("%d looks in a second", p.seen.State.Step)
	}
}

func TestLoop_SaysOnlyWhatHappened(t *testing.T) {
	p := &paper{}
	var said []string
	reasons := []string{"A", "A", "B", "B"}
	n := 0
	decide := func(_ rollout.Plan, s rollout.State, seen rollout.Snapshot) rollout.Decision {
		s.Reason = reasons[min(n, len(reasons)-1)]
		n++
		return rollout.Decision{State: s, Reason: s.Reason, LookAgain: seen.Now.Add(time.Second)}
	}
	run(t, &Loop{Platform: p, Decide: decide, Say: func(_ Seen, d rollout.Decision) { said = append(said, d.Reason) }}, func(chan<- struct{}) {
		time.Sleep(10 * time.Second)
		synctest.Wait()
	})
	if diff := cmp.Diff([]string{"A", "B"}, said); diff != "" {
		t.Error(diff)
	}
}

func TestRecord_TellsARevisionFromBeginToEnd(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	seen := Seen{
		Plan:     rollout.Plan{App: "demo", Strategy: rollout.Canary, Steps: []rollout.Step{{Weight: 25}, {Weight: 50}}},
		Snapshot: rollout.Snapshot{Now: at, Grade: rollout.Acknowledged},
	}
	state := rollout.State{Phase: rollout.Idle, Revision: 1, Stable: "1"}
	var r report.Report
	var closed []*report.Report
	say := func(change func(*rollout.State), reason string, answers ...rollout.Answer) {
		before := state
		change(&state)
		state.Reason = reason
		seen.State = before
		var c *report.Report
		if c, r = Record(r, seen, rollout.Decision{State: state, Reason: reason, Answers: answers}); c != nil {
			closed = append(closed, c)
		}
		seen.Snapshot.Now = seen.Snapshot.Now.Add(time.Second)
	}
	say(func(*rollout.State) {}, "Serving")
	say(func(s *rollout.State) { s.Phase, s.Revision, s.Candidate = rollout.Preparing, 2, "2" }, "CandidateGrowing")
	say(func(s *rollout.State) {
		s.Phase = rollout.Shifting
		s.Route = rollout.Route{Weights: rollout.Weights{"1": 75, "2": 25}}
	}, "RouteConverging")
	say(func(s *rollout.State) {
		s.ConvergedAt, s.ToldAt = seen.Snapshot.Now, seen.Snapshot.Now.Add(-time.Second)
	}, "StepStanding")
	say(func(s *rollout.State) { s.Step = 1 }, "StepStanding", rollout.Answer{Order: rollout.Order{Verb: rollout.Promote, By: "ann"}, Obeyed: true, Message: "on to step 2"})
	say(func(s *rollout.State) { s.Phase = rollout.Promoting }, "RouteConverging")
	say(func(s *rollout.State) { s.Phase, s.Stable, s.Candidate = rollout.Idle, "2", "" }, "Serving")

	if len(closed) != 1 || closed[0].Revision != 1 || !closed[0].Over() {
		t.Errorf("closed %+v", closed)
	}
	if r.From != "1" || r.To != "2" || r.Outcome != report.Promoted || !r.Over() {
		t.Errorf("report %+v", r)
	}
	var phases []string
	for _, s := range r.Phases {
		if s.End.IsZero() {
			t.Errorf("%s did not end", s.Name)
		}
		phases = append(phases, s.Name)
	}
	if diff := cmp.Diff([]string{"Preparing", "Shifting", "Shifting", "Promoting"}, phases); diff != "" {
		t.Error(diff)
	}
	if len(r.Converged) != 1 || r.Converged[0].Grade != "acknowledged" || r.Converged[0].After.Duration() != time.Second {
		t.Errorf("converged %+v", r.Converged)
	}
	var by []string
	for _, e := range r.Decisions {
		if e.By != "" {
			by = append(by, e.By+": "+e.Message)
		}
	}
	if diff := cmp.Diff([]string{"ann: promote: on to step 2"}, by); diff != "" {
		t.Error(diff)
	}
}

// words is an engine that changes only what it says, once for each look.
func words(p *paper) func(rollout.Plan, rollout.State, rollout.Snapshot) rollout.Decision {
	return func(_ rollout.Plan, s rollout.State, seen rollout.Snapshot) rollout.Decision {
		s.LookedAt = seen.Now
		if n := len(p.did); n < 4 {
			s.Message = fmt.Sprint(n)
		}
		return rollout.Decision{State: s}
	}
}

func TestLoop_WhatIsOnlySaidIsSavedLate(t *testing.T) {
	p := &paper{}
	run(t, &Loop{Platform: p, Decide: words(p), Late: 5 * time.Second}, func(chan<- struct{}) {
		if slices.Contains(p.did, "save") {
			t.Errorf("words were saved at once: %v", p.did)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if slices.Contains(p.did, "save") {
			t.Errorf("words were saved early: %v", p.did)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if p.seen.State.Message == "" {
			t.Error("words were never saved")
		}
		saves := 0
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, did := range p.did {
			if did == "save" {
				saves++
			}
		}
		if saves != 1 {
			t.Errorf("%d saves", saves)
		}
	})
}

func TestLoop_WhatIsMoreThanWordsIsSavedAtOnce(t *testing.T) {
	p := &paper{}
	run(t, &Loop{Platform: p, Decide: count(2), Late: time.Hour}, func(chan<- struct{}) {})
	want := []string{"observe", "save", "scale", "route", "observe", "save", "scale", "route", "observe", "observe"}
	if diff := cmp.Diff(want, p.did); diff != "" {
		t.Error(diff)
	}
}

func TestRecord_WritesDownWhatGatesAnsweredToEachQuestionOnce(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ask := func(step int) *rollout.Question {
		return &rollout.Question{Revision: 2, Moment: rollout.DuringStep, Step: step, Since: at}
	}
	seen := Seen{
		Plan: rollout.Plan{
			App: "demo", Strategy: rollout.Canary, Steps: []rollout.Step{{Weight: 25}, {Weight: 50}},
			Gates: []rollout.Gate{{Name: "errors", At: []rollout.Moment{rollout.DuringStep}}, {Name: "end", At: []rollout.Moment{rollout.AfterPromotion}}},
		},
		Snapshot: rollout.Snapshot{Now: at},
	}
	state := rollout.State{Phase: rollout.Shifting, Revision: 2, Stable: "1", Candidate: "2"}
	var r report.Report
	look := func(q *rollout.Question, v rollout.Verdict, remembered bool) {
		seen.State = state
		seen.Snapshot.Gates = nil
		if state.Asked != nil && v.Outcome != "" {
			v.Of = state.Asked.Key()
			seen.Snapshot.Gates = map[string]rollout.Verdict{"errors": v}
		}
		state.Asked, state.Gates = q, nil
		if remembered {
			v.Detail, v.Numbers = "", nil
			state.Gates = map[string]rollout.Verdict{"errors": v}
		}
		_, r = Record(r, seen, rollout.Decision{State: state, Reason: "GateWaiting"})
		seen.Snapshot.Now = seen.Snapshot.Now.Add(time.Second)
	}
	look(ask(0), rollout.Verdict{}, false)
	look(ask(0), rollout.Verdict{Outcome: rollout.Wait, Reason: "not enough evidence yet", Detail: "0 of 3", Numbers: map[string]float64{"n": 3}}, true)
	look(ask(1), rollout.Verdict{Outcome: rollout.Pass, Reason: "good", Detail: "0 of 500", Numbers: map[string]float64{"n": 500}}, false)
	waived := ask(1)
	waived.Waived = &rollout.Order{By: "ann"}
	look(waived, rollout.Verdict{}, false)
	look(nil, rollout.Verdict{}, false)
	want := []report.Gate{
		{Name: "errors", At: "step", Step: 1, Outcome: "pass", Reason: "good", Detail: "0 of 500", Numbers: map[string]float64{"n": 500}, Asked: at, Answered: at.Add(2 * time.Second)},
		{Name: "errors", At: "step", Step: 2, Outcome: "wait", Reason: "no answer yet", WaivedBy: "ann", Asked: at, Answered: at.Add(4 * time.Second)},
	}
	if diff := cmp.Diff(want, r.Gates); diff != "" {
		t.Error(diff)
	}
}
