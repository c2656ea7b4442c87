package gate_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

// script is a gate that does what it is told.
type script func(ctx context.Context, q gate.Question, say func(rollout.Verdict)) error

func (s script) Watch(ctx context.Context, q gate.Question, say func(rollout.Verdict)) error {
	return s(ctx, q, say)
}

var plan = rollout.Plan{Gates: []rollout.Gate{{Name: "a", At: []rollout.Moment{rollout.DuringStep, rollout.AfterPromotion}}}}

func asked(step int) rollout.State {
	return rollout.State{Asked: &rollout.Question{Revision: 1, Moment: rollout.DuringStep, Step: step}}
}

func use(t *testing.T, p *gate.Panel, text string, s script) {
	t.Helper()
	p.Use(spec.Gate{Name: "a", Probe: &spec.Probe{Path: "/" + text, Rate: 10, Timeout: time.Second}}, func() (gate.Gate, error) { return s, nil })
}

func TestPanel_AsksWhatTheStateWantsToKnowAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		woken, began, ended := 0, 0, 0
		p := &gate.Panel{Wake: func() { woken++ }}
		use(t, p, "1", func(ctx context.Context, q gate.Question, say func(rollout.Verdict)) error {
			began++
			defer func() { ended++ }()
			say(rollout.Verdict{Outcome: rollout.Wait, Reason: "looks"})
			time.Sleep(time.Second)
			say(rollout.Verdict{Outcome: rollout.Pass, Reason: q.Subject().App})
			<-ctx.Done()
			return nil
		})
		keep := func(s rollout.State) map[string]rollout.Verdict {
			p.Keep(t.Context(), plan, s, gate.Subject{App: "demo"})
			synctest.Wait()
			return p.Keep(t.Context(), plan, s, gate.Subject{App: "demo"})
		}
		if got := keep(rollout.State{}); len(got) > 0 || began > 0 {
			t.Errorf("asked without a question: %v", got)
		}
		if got := keep(asked(0)); got["a"].Outcome != rollout.Wait || got["a"].Of != "1/step/1" {
			t.Errorf("%+v", got)
		}
		time.Sleep(2 * time.Second)
		if got := keep(asked(0)); got["a"].Outcome != rollout.Pass || got["a"].Reason != "demo" || woken != 2 {
			t.Errorf("%+v, woken %d times", got, woken)
		}
		if got := keep(asked(1)); got["a"].Of != "1/step/2" || began != 2 || ended != 1 {
			t.Errorf("the next question: %+v, began %d, ended %d", got, began, ended)
		}
		waived := asked(1)
		waived.Asked.Waived = &rollout.Order{}
		if got := keep(waived); len(got) > 0 {
			t.Errorf("a waived question is asked: %+v", got)
		}
		p.Close()
		if began != ended {
			t.Errorf("%d began and %d ended", began, ended)
		}
	})
}

func TestPanel_WhatCannotBeAskedWaitsAndIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		p := &gate.Panel{Wake: func() {}}
		use(t, p, "1", func(_ context.Context, q gate.Question, say func(rollout.Verdict)) error {
			if tries++; tries < 3 {
				say(rollout.Verdict{Outcome: rollout.Wait, Memory: q.Memory + "x"})
				return errors.New("connection refused")
			}
			say(rollout.Verdict{Outcome: rollout.Pass, Memory: q.Memory})
			return nil
		})
		p.Keep(t.Context(), plan, asked(0), gate.Subject{})
		synctest.Wait()
		want := map[string]rollout.Verdict{"a": {Of: "1/step/1", Outcome: rollout.Wait, Reason: "cannot be asked: connection refused", Memory: "x"}}
		if diff := cmp.Diff(want, p.Keep(t.Context(), plan, asked(0), gate.Subject{})); diff != "" {
			t.Error(diff)
		}
		time.Sleep(10 * time.Second)
		got := p.Keep(t.Context(), plan, asked(0), gate.Subject{})
		if got["a"].Outcome != rollout.Pass || got["a"].Memory != "xx" || tries != 3 {
			t.Errorf("%+v after %d tries", got, tries)
		}
		p.Close()
	})
}

func TestPanel_ARestartGivesAGateItsMemoryBackAndKeepsItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &gate.Panel{Wake: func() {}}
		var memory string
		use(t, p, "1", func(ctx context.Context, q gate.Question, _ func(rollout.Verdict)) error {
			memory = q.Memory
			<-ctx.Done()
			return nil
		})
		state := asked(0)
		state.Gates = map[string]rollout.Verdict{"a": {Of: "1/step/1", Outcome: rollout.Pass, Memory: "12 of 600"}}
		got := p.Keep(t.Context(), plan, state, gate.Subject{})
		synctest.Wait()
		if memory != "12 of 600" || got["a"].Outcome != rollout.Pass {
			t.Errorf("memory %q, answer %+v", memory, got["a"])
		}
		state.Gates["a"] = rollout.Verdict{Of: "1/step/9", Outcome: rollout.Pass, Memory: "of another question"}
		state.Asked.Step = 1
		if got := p.Keep(t.Context(), plan, state, gate.Subject{}); len(got) > 0 {
			t.Errorf("%+v", got)
		}
		synctest.Wait()
		if memory != "" {
			t.Errorf("it got the memory of another question: %q", memory)
		}
		p.Close()
	})
}

func TestPanel_AGateThatIsWrittenAnewIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &gate.Panel{Wake: func() {}}
		says := func(reason string) script {
			return func(_ context.Context, _ gate.Question, say func(rollout.Verdict)) error {
				say(rollout.Verdict{Outcome: rollout.Pass, Reason: reason})
				return nil
			}
		}
		look := func() string {
			p.Keep(t.Context(), plan, asked(0), gate.Subject{})
			synctest.Wait()
			return p.Keep(t.Context(), plan, asked(0), gate.Subject{})["a"].Reason
		}
		use(t, p, "1", says("old"))
		if got := look(); got != "old" {
			t.Error(got)
		}
		use(t, p, "1", says("never made"))
		if got := look(); got != "old" {
			t.Error(got)
		}
		use(t, p, "2", says("new"))
		if got := look(); got != "new" {
			t.Error(got)
		}
		p.Only(rollout.Plan{})
		if got := look(); got != "" {
			t.Error(got)
		}
		p.Close()
	})
}

func TestPanel_AGateThatCannotBeMadeSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &gate.Panel{Wake: func() {}}
		p.Use(spec.Gate{Name: "a", Probe: &spec.Probe{Rate: 10, Timeout: time.Second}}, func() (gate.Gate, error) { return nil, errors.New("no key") })
		p.Keep(t.Context(), plan, asked(0), gate.Subject{})
		synctest.Wait()
		if got := p.Keep(t.Context(), plan, asked(0), gate.Subject{})["a"]; got.Outcome != rollout.Wait || got.Reason != "cannot be asked: no key" {
			t.Errorf("%+v", got)
		}
		p.Close()
	})
}
