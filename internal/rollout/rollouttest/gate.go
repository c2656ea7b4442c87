package rollouttest

import (
	"fmt"
	"strings"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// A temper is how a gate answers the questions that it is put.
type temper string

const (
	agreeable temper = "agreeable" // passes after a while
	strict    temper = "strict"    // fails after a while
	mute      temper = "mute"      // never decides
	fussy     temper = "fussy"     // passes, and fails later
	lost      temper = "lost"      // says that it will not decide
)

var tempers = []temper{agreeable, agreeable, agreeable, agreeable, strict, mute, fussy, lost}

// A desk is where gates are asked. It answers the question that was saved last, late at times, and at times with the answer to an older one.
type desk struct {
	asked    map[string]time.Duration // when each question was first seen
	answers  map[string]map[string]rollout.Verdict
	previous map[string]rollout.Verdict
	passed   map[string]bool // "key gate": it said so in a look
}

func newDesk() desk {
	return desk{asked: map[string]time.Duration{}, answers: map[string]map[string]rollout.Verdict{}, passed: map[string]bool{}}
}

func (w *world) drawGates(s rollout.Strategy) []rollout.Gate {
	var gates []rollout.Gate
	for n := range w.rng.IntN(4) {
		g := rollout.Gate{Name: fmt.Sprintf("g%d", n), Hold: w.chance(300), DryRun: w.chance(250)}
		if w.chance(800) {
			g.Deadline = time.Duration(5+w.rng.IntN(30)) * time.Second
		}
		for _, m := range rollout.Moments {
			never := m == rollout.DuringStep && s == rollout.BlueGreen || m != rollout.BeforeStart && m != rollout.AfterPromotion && s == rollout.Recreate
			if !never && w.chance(400) {
				g.At = append(g.At, m)
			}
		}
		if len(g.At) > 0 {
			gates = append(gates, g)
		}
	}
	return gates
}

// verdicts are what the gates say at this moment to what is asked.
func (w *world) verdicts() map[string]rollout.Verdict {
	q := w.control.saved.Asked
	if q == nil {
		return w.desk.previous
	}
	key := q.Key()
	if _, known := w.desk.asked[key]; !known {
		w.desk.asked[key] = w.elapsed
	}
	out := map[string]rollout.Verdict{}
	for _, g := range w.plan.GatesAt(q.Moment) {
		if w.chance(150) && !w.quiet {
			if old, ok := w.desk.previous[g.Name]; ok {
				out[g.Name] = old // the answer to an older question is still about
			}
			continue
		}
		v := w.verdict(key, g)
		out[g.Name] = v
		if v.Outcome == rollout.Pass {
			w.desk.passed[key+" "+g.Name] = true
		}
	}
	w.desk.previous = out
	return out
}

func (w *world) verdict(key string, g rollout.Gate) rollout.Verdict {
	v := rollout.Verdict{Of: key, Outcome: rollout.Wait, Reason: "looks", Memory: key}
	passed := w.elapsed - w.desk.asked[key]
	t := w.temperOf(key, g.Name)
	after := time.Duration(2+len(key+g.Name)%5) * time.Second
	switch {
	case passed < after:
	case t == agreeable, t == fussy && passed < 2*after:
		v.Outcome, v.Reason = rollout.Pass, "is content"
	case t == strict, t == fussy:
		v.Outcome, v.Reason = rollout.Fail, "is not content"
	case t == lost:
		v.Outcome, v.Reason = rollout.Inconclusive, "cannot tell"
	}
	return v
}

// temperOf follows from the world, the question and the gate. In a quiet world nobody waits for ever for a gate that has all the time.
func (w *world) temperOf(key, gate string) temper {
	sum := w.seed
	for _, c := range key + gate {
		sum = sum*31 + uint64(c)
	}
	return tempers[(sum>>7)%uint64(len(tempers))]
}

// checkGates holds a decision against what the gates said.
func (w *world) checkGates(prev rollout.State, seen rollout.Snapshot, d rollout.Decision) {
	if prev.Stable == "" || seen.Replicas == 0 || prev.Full || d.State.Full || d.State.Undo || !d.State.LookedAt.Equal(seen.Now) || d.Reason == rollout.ReasonClockSetBack {
		return
	}
	for _, a := range d.Answers {
		if a.Obeyed && a.Order.Verb == rollout.PromoteFull {
			return // past all gates, and it may be over in the same look
		}
		if a.Obeyed && a.Order.Verb == rollout.Promote && prev.Asked != nil && strings.Contains(a.Message, "its gates") {
			w.watch.waive(prev.Asked.Key())
		}
	}
	if d.State.Past == rollout.AfterPromotion && prev.Past != rollout.AfterPromotion && seen.Wanted != prev.Candidate {
		w.watch.waive(rollout.Question{Revision: prev.Revision, Moment: rollout.AfterPromotion}.Key()) // a newer version is not kept waiting
	}
	if q := prev.Asked; q != nil && d.State.Asked != nil && d.State.Asked.Key() == q.Key() && d.State.Asked.Waived == nil {
		for _, g := range w.plan.GatesAt(q.Moment) {
			if v := seen.Gates[g.Name]; !g.DryRun && v.Of == q.Key() && v.Outcome == rollout.Fail {
				w.fail("G1 a gate that fails turns the rollout back at once", "%s of %s in %s", g.Name, q.Key(), d.State.Phase)
			}
		}
	}
	if back := d.State.Aborted; back != nil && prev.Aborted == nil {
		w.checkBlame(prev, seen, *back)
	}
	if d.State.Revision != prev.Revision || w.watch.planAt == d.State.Revision {
		return // a new revision, or its plan was changed on the way
	}
	for _, m := range w.passedBy(prev, seen, d) {
		w.checkPassed(prev, d, m)
	}
}

// checkBlame: a rollout goes back for a gate only if one that counts failed, or was not decided.
func (w *world) checkBlame(prev rollout.State, seen rollout.Snapshot, back rollout.Setback) {
	if back.Reason != rollout.ReasonGateFailed && back.Reason != rollout.ReasonGateInconclusive {
		return
	}
	for _, g := range w.plan.Gates {
		v := seen.Gates[g.Name]
		if prev.Asked != nil && v.Of != prev.Asked.Key() {
			v = prev.Gates[g.Name] // it says nothing of this question now
		}
		bad := v.Outcome == rollout.Fail
		if back.Reason == rollout.ReasonGateInconclusive {
			bad = v.Outcome != rollout.Pass && !g.Hold
		}
		if bad && !g.DryRun {
			return
		}
	}
	w.fail("G3 a dry run changes nothing", "%s: %s, and the gates are %+v and said %+v", back.Reason, back.Message, w.plan.Gates, seen.Gates)
}

// passedBy are the moments that a decision leaves behind.
func (w *world) passedBy(prev rollout.State, seen rollout.Snapshot, d rollout.Decision) []rollout.Moment {
	var all []rollout.Moment
	s := d.State
	for _, a := range d.Actions {
		grows := a.Kind == rollout.Scale && a.Version == s.Candidate && a.Replicas > seen.Versions[a.Version].Asked
		if s.Phase == rollout.Preparing && (grows || a.Kind == rollout.Scale && a.Version == s.Stable && a.Replicas == 0 && seen.Versions[a.Version].Asked > 0) {
			all = append(all, rollout.BeforeStart)
		}
		if s.Phase == rollout.Finishing && prev.Phase == rollout.Finishing && a.Kind == rollout.Scale && a.Version == s.Stable && a.Replicas < min(seen.Replicas, seen.Versions[a.Version].Asked) && s.Candidate == seen.Wanted {
			all = append(all, rollout.AfterPromotion)
		}
	}
	if s.Phase == rollout.Idle && prev.Phase == rollout.Finishing && s.Stable == seen.Wanted {
		all = append(all, rollout.AfterPromotion)
	}
	if s.Phase == rollout.Shifting && prev.Phase == rollout.Shifting && w.plan.Strategy == rollout.Canary && s.Step > prev.Step {
		all = append(all, rollout.DuringStep)
	}
	if s.Phase == rollout.Promoting && (prev.Phase == rollout.Preparing || prev.Phase == rollout.Shifting) {
		if prev.Phase == rollout.Shifting {
			all = append(all, rollout.DuringStep)
		}
		all = append(all, rollout.BeforePromotion)
	}
	return all
}

// checkPassed: every gate of the moment that counts has passed, in some look at least, or a person let the rollout go on.
func (w *world) checkPassed(prev rollout.State, d rollout.Decision, m rollout.Moment) {
	q := rollout.Question{Revision: prev.Revision, Moment: m, Step: min(prev.Step, max(0, len(w.plan.Steps)-1))}
	if m == rollout.DuringStep && w.plan.Strategy == rollout.Rolling {
		q.Step = prev.Step
	}
	if m == rollout.DuringStep && prev.Step >= len(w.plan.Steps) && w.plan.Strategy == rollout.Canary || w.watch.waived[q.Key()] {
		return
	}
	for _, g := range w.plan.GatesAt(m) {
		if !g.DryRun && !w.desk.passed[q.Key()+" "+g.Name] {
			w.fail("G2 nothing goes on before every gate has passed", "%s of %s never did, and it is %s now", g.Name, q.Key(), d.State.Phase)
		}
	}
}
