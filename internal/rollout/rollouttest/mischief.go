package rollouttest

import (
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// mischief is what people and things do to an app while it rolls. Whatever it is, the engine has yet to see it.
func (w *world) mischief() {
	f := w.faults
	if w.chance(f.template) {
		w.changeTemplate()
	}
	if w.chance(f.scale) {
		w.stir()
		w.replicas = w.rng.IntN(7)
		w.makeRoom()
		w.say("user", "scales to %d", w.replicas)
	}
	if w.chance(f.order) {
		verbs := []rollout.Verb{
			rollout.Promote, rollout.Promote, rollout.Promote, rollout.PromoteFull, rollout.Abort, rollout.Undo,
			rollout.Pause, rollout.Resume, rollout.Resume, rollout.Retry,
		}
		w.order(verbs[w.rng.IntN(len(verbs))])
	}
	if w.chance(f.plan) {
		w.changePlan()
	}
	if w.chance(f.tamper) {
		w.tamper()
	}
	if w.chance(f.stuck) {
		w.plane.stuckUntil = w.elapsed + time.Duration(w.rng.IntN(90))*time.Second
		w.say("fault", "the data plane takes nothing over until %s", w.plane.stuckUntil)
	}
	if w.chance(f.clock) {
		back := time.Duration(w.rng.IntN(600)) * time.Second
		w.skew -= back
		w.control.old, w.control.peeked = nil, nil
		w.say("fault", "the clock is set back by %s", back)
	}
}

// changeTemplate asks for a new version, or for one that was there before.
func (w *world) changeTemplate() {
	s := w.control.saved
	was := w.wanted
	switch w.rng.IntN(9) {
	case 0:
		w.wanted = s.Stable
	case 1, 8:
		w.wanted = s.Rejected
	case 2:
		w.wanted = s.Previous
	case 3:
		w.wanted = w.versions[w.rng.IntN(len(w.versions))].name
	default:
		w.wanted = w.newVersion(behaviours[w.rng.IntN(len(behaviours))]).name
	}
	if w.wanted == "" {
		w.wanted = was
	}
	if w.wanted == was {
		return
	}
	w.asked, w.taken = w.wanted, true
	w.stir()
	w.say("user", "asks for %s (%s)", w.wanted, w.version(w.wanted).behaviour)
}

// changePlan changes what a plan may change while a rollout is on its way. The split is the data plane's, and the drain its promise.
func (w *world) changePlan() {
	p := w.drawPlan()
	p.Split, p.Drain = w.plan.Split, w.plan.Drain
	if p.Split == rollout.ByShare {
		for i := range p.Steps {
			p.Steps[i].Match, p.Steps[i].Mirror, p.Steps[i].MirrorWrites = nil, 0, false
		}
	}
	w.plan = p
	w.makeRoom()
	w.watch.planAt = w.control.saved.Revision
	w.stir()
	w.say("user", "changes the plan: %s, steps %+v", p.Strategy, p.Steps)
}

// tamper writes a route past the engine.
func (w *world) tamper() {
	v := w.versions[w.rng.IntN(len(w.versions))]
	if len(w.plane.api.Weights) == 0 {
		return
	}
	if w.chance(400) {
		w.say("fault", "the data plane forgets its route")
		w.plane.write(w, rollout.Route{})
	} else {
		w.say("fault", "somebody gives %s all traffic", v.name)
		w.plane.write(w, rollout.Route{Weights: rollout.Weights{v.name: 100}})
	}
	w.plane.tamperSeq = w.plane.apiSeq
	w.stir()
}

// stir ends whatever rest there was.
func (w *world) stir() { w.watch.calm = 0 }

func (w *world) order(verb rollout.Verb) {
	w.lastID++
	w.orders = append(w.orders, rollout.Order{ID: w.lastID, Verb: verb, By: "somebody", At: w.now()})
	w.say("user", "orders %s", verb)
}

// beQuiet ends the faults. What is stable is well from here on; what is not yet stable may stay as bad as it is, if there is a deadline.
func (w *world) beQuiet() {
	w.say("world", "the faults end")
	w.quiet, w.watch.calm = true, 0
	w.plane.stuckUntil = 0
	s := w.control.saved
	for _, v := range w.versions {
		if v.name == s.Stable || s.Stable == "" || w.plan.Deadline == 0 || w.chance(500) {
			v.heal(w)
		}
	}
}

// heal makes a version well.
func (v *version) heal(w *world) {
	v.behaviour = good
	for _, i := range v.instances {
		i.dueAt = min(i.dueAt, w.elapsed+5*time.Second)
	}
}

// helpAlong is the person that a rollout may wait for.
func (w *world) helpAlong() {
	s := w.control.saved
	switch {
	case len(w.orders) > 0:
	case s.Paused != nil && w.chance(200):
		w.order(rollout.Resume)
	case s.Reason == rollout.ReasonAwaitingPromote && w.chance(300):
		w.order(rollout.Promote)
	case s.Reason == rollout.ReasonGateWaiting && w.chance(20):
		w.order(rollout.PromoteFull) // nobody waits for ever for a gate that has all the time
	}
	if stable := w.version(s.Stable); stable != nil && stable.behaviour != good {
		stable.heal(w) // it was promoted since
	}
}
