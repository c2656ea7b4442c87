package rollouttest

import (
	"reflect"

	"gapless.dev/gapless/internal/rollout"
)

// checkDecision holds a decision against the rules that need nothing but what was given to the engine.
func (w *world) checkDecision(prev rollout.State, seen rollout.Snapshot, d rollout.Decision) {
	if d.Reason == rollout.ReasonIllegalTransition {
		w.fail("transitions", "%s", d.Message)
	}
	if w.chance(250) && !reflect.DeepEqual(d, w.decide(w.plan, prev, seen)) {
		w.fail("I5 the same input gives the same decision", "in %s: %s", d.State.Phase, d.Message)
	}
	sum := 0
	for _, n := range d.State.Route.Weights {
		sum += n
	}
	if sum != 100 && len(d.State.Route.Weights) > 0 {
		w.fail("I1 weights sum to 100", "%s", d.State.Route)
	}
	w.checkBreath(seen, d)
	w.checkTold(prev, seen, d)
	w.checkDead(prev, seen, d)
	w.checkLost(prev, seen, d)
	w.checkToldAgain(seen, d)
	w.checkGates(prev, seen, d)
	w.checkMost(prev, seen, d)
	if d.Reason == "" || d.Message == "" {
		w.fail("I8 it says why", "no reason or message in %s", d.State.Phase)
	}
	w.watch.calm++
	if len(d.Actions) > 0 {
		w.watch.calm = 0
	}
	w.watch.fresh++
	if !d.State.LookedAt.Equal(seen.Now) {
		w.watch.fresh = 0
	}
}

// checkBreath: a route is written alone, or with instances that are added.
func (w *world) checkBreath(seen rollout.Snapshot, d rollout.Decision) {
	routes, others := 0, 0
	for _, a := range d.Actions {
		switch {
		case a.Kind == rollout.SetRoute:
			routes++
		case a.Kind != rollout.Scale || a.Replicas < seen.Versions[a.Version].Asked:
			others++
		}
	}
	if routes > 1 || routes == 1 && others > 0 {
		w.fail("I3 no two dependent writes in one breath", "%v", d.Actions)
	}
}

// checkDead: what is seen to have no serving instance has no weight from that very look on.
func (w *world) checkDead(prev rollout.State, seen rollout.Snapshot, d rollout.Decision) {
	c := d.State.Candidate
	if c == "" || d.State.Stable == "" || seen.Replicas == 0 || seen.Versions[c].Serving+seen.Versions[c].Unlisted > 0 ||
		min(seen.Versions[d.State.Stable].Serving, seen.Versions[d.State.Stable].Asked) == 0 ||
		w.plan.Strategy == rollout.Recreate {
		return
	}
	if !d.State.LookedAt.Equal(seen.Now) || d.Reason == rollout.ReasonClockSetBack || d.State.Route.Open || prev.Candidate != c {
		return
	}
	if d.State.Phase == rollout.Finishing && (prev.Most == 0 || prev.Replicas != seen.Replicas) {
		return // nothing has come up yet
	}
	if d.State.Route.Reaches(c) {
		w.fail("I7 a lost candidate loses its weight at once", "%s has no serving instance in %s, and the route is told: %s", c, d.State.Phase, d.State.Route)
	}
}

// checkLost: what has a ready instance is not given up for dead, whether the data plane has heard of it or not.
func (w *world) checkLost(prev rollout.State, seen rollout.Snapshot, d rollout.Decision) {
	back := d.State.Aborted
	if back == nil || prev.Aborted != nil || back.Reason != rollout.ReasonCandidateLost {
		return
	}
	if c := seen.Versions[back.Version]; c.Serving+c.Unlisted > 0 {
		w.fail("what is ready is not lost", "%s has %d serving and %d of which the data plane has not heard", back.Version, c.Serving, c.Unlisted)
	}
}

// checkToldAgain: a data plane that does not have what it was told is told again, in the look that sees it.
func (w *world) checkToldAgain(seen rollout.Snapshot, d rollout.Decision) {
	told := d.State.Route
	if len(told.Weights) == 0 || w.plan.Strategy == rollout.Recreate || seen.Route.Equal(told) || !d.State.LookedAt.Equal(seen.Now) || d.Reason == rollout.ReasonClockSetBack {
		return
	}
	for _, a := range d.Actions {
		if a.Kind == rollout.SetRoute {
			return
		}
	}
	if seen.Versions[d.State.Stable].Serving+seen.Versions[d.State.Candidate].Serving > 0 {
		w.fail("a lost route is written again", "in %s %s the data plane has %s and was told %s", d.State.Phase, d.Reason, seen.Route, told)
	}
}

// checkTold: weight goes where it can be carried, and forward only from what has really arrived. A route that is written once
// more was judged when it was told.
func (w *world) checkTold(prev rollout.State, seen rollout.Snapshot, d rollout.Decision) {
	st, r := d.State, d.State.Route
	if r.Equal(prev.Route) || prev.Phase == rollout.Unseen {
		return
	}
	for v, weight := range r.Weights {
		if r.Open || seen.Replicas == 0 || weight <= prev.Route.Weights[v] && !prev.Route.Open {
			continue
		}
		other := st.Stable
		if v == st.Stable {
			other = st.Candidate
		}
		room := bound(seen.Versions[other].Serving, seen.Replicas)
		if other == "" {
			room = 0
		}
		if weight > bound(seen.Versions[v].Serving+w.spare(), seen.Replicas) && r.Weights[other] < room {
			w.fail("I1 a weight has the instances that carry it", "%s gets %d %% with %d serving of %d in %s, was %s",
				v, weight, seen.Versions[v].Serving, seen.Replicas, st.Phase, prev.Route)
			return
		}
	}
	forward := st.Candidate != "" && st.Stable != "" && r.Weights[st.Candidate] > prev.Route.Weights[st.Candidate] && prev.Candidate == st.Candidate
	if forward && !w.plane.tamperedWith() && (w.plane.liveSeq != w.plane.apiSeq || !w.plane.live.Equal(prev.Route)) {
		w.fail("I3 the first write has arrived before the second", "%s is told %s while %s", st.Candidate, r, w.plane.routes())
	}
}

// checkAnswers: an order is answered once.
func (w *world) checkAnswers(d rollout.Decision) {
	for _, a := range d.Answers {
		if w.answered[a.Order.ID] {
			w.fail("an order is obeyed once", "%s %d", a.Order.Verb, a.Order.ID)
		}
		w.answered[a.Order.ID] = true
		w.say("answer", "%s: %v, %s", a.Order.Verb, a.Obeyed, a.Message)
	}
}

// checkMost: on the way forward a candidate grows only into the room that the plan has said it takes. Who scales down meanwhile takes room away
// in which pods of stable stand until they are let go, and a plan that is changed midway finds what the one before asked for.
func (w *world) checkMost(prev rollout.State, seen rollout.Snapshot, d rollout.Decision) {
	s := d.State
	forward := s.Phase == rollout.Preparing || s.Phase == rollout.Shifting || s.Phase == rollout.Promoting
	if !forward || s.Stable == "" || s.Candidate == "" || prev.Replicas != seen.Replicas || w.watch.planAt == s.Revision {
		return
	}
	asked := map[rollout.Version]int{s.Stable: seen.Versions[s.Stable].Asked, s.Candidate: seen.Versions[s.Candidate].Asked}
	before := asked[s.Candidate]
	for _, a := range d.Actions {
		if a.Kind == rollout.Scale {
			asked[a.Version] = a.Replicas
		}
	}
	most := w.plan.Most(max(seen.Replicas, seen.Versions[s.Stable].Asked))
	if all := asked[s.Stable] + asked[s.Candidate]; asked[s.Candidate] > before && all > most {
		w.fail("I11 a rollout takes no more room than its plan says", "%d and %d of %d are asked for in %s, and %d is the most", asked[s.Stable], asked[s.Candidate], seen.Replicas, s.Phase, most)
	}
}
