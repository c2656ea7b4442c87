package rollouttest

import (
	"fmt"
	"reflect"
	"slices"

	"gapless.dev/gapless/internal/rollout"
)

// watch remembers what the rules need of the past.
type watch struct {
	refused  rollout.Version // aborted for a reason of its own, and not asked for by anybody's order since
	used     int64           // the promote that let the rollout past its last manual stop
	revision int
	calm     int  // looks in a row that found nothing to do
	fresh    int  // looks in a row that were looked at, and not dropped for being late
	fought   bool // somebody may have written the refused template again since the last abort began
}

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
	if c == "" || d.State.Stable == "" || seen.Replicas == 0 || seen.Versions[c].Serving > 0 || seen.Versions[d.State.Stable].Serving == 0 ||
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

// checkAction holds an action against the truth, before it is carried out.
func (w *world) checkAction(seen rollout.Snapshot, d rollout.Decision, a rollout.Action) {
	switch a.Kind {
	case rollout.Scale:
		v := w.version(a.Version)
		if v == nil {
			w.fail("actions", "scale of the unknown version %q", a.Version)
			return
		}
		if a.Replicas > v.asked {
			w.checkStart(d, a)
		}
		if a.Replicas < v.running() {
			w.checkShrink(seen, d, v, a.Replicas)
		}
	case rollout.SetRoute:
		if !w.control.saved.Route.Equal(*a.Route) {
			w.fail("I5 a crash costs only time", "the route %s is applied and the saved state knows nothing of it", a.Route)
		}
	case rollout.WriteBack:
		w.checkWriteBack(a)
	case rollout.Remove:
		v := w.version(a.Version)
		if len(v.instances) > 0 || w.reaches(a.Version) && d.State.Stable != "" {
			w.fail("I2 nothing that may be sent traffic is taken out", "remove of %s with %d instances", a.Version, len(v.instances))
		}
	case rollout.Release:
		if w.control.saved.Phase != rollout.Idle || w.plane.live.Open != (w.plan.Split == rollout.ByShare) && !w.plane.tamperedWith() {
			w.fail("I10 what is given back is at rest", "release in %s with route %s", w.control.saved.Phase, w.plane.live)
		}
	}
}

// checkStart: a refused version does not start by itself, and while an app is held nothing but stable grows.
func (w *world) checkStart(d rollout.Decision, a rollout.Action) {
	if a.Version == w.watch.refused && d.State.Phase != rollout.Aborting && a.Version != d.State.Stable {
		w.fail("a refused version does not start", "scale of %s in %s", a.Version, d.State.Phase)
	}
	if d.State.Phase == rollout.Held && a.Version != d.State.Stable {
		w.fail("a held version does not start", "scale of %s", a.Version)
	}
}

// reaches tells whether a version is sent anything, or will be when the data plane takes over what was written.
func (w *world) reaches(v rollout.Version) bool {
	if w.plane.tamperedWith() {
		return false // somebody else's doing
	}
	return w.plane.mayReach(v) || w.plane.api.Reaches(v)
}

// checkShrink: what may be sent traffic keeps what carries it, and the app what it declares.
func (w *world) checkShrink(seen rollout.Snapshot, d rollout.Decision, v *version, n int) {
	if w.plan.Strategy == rollout.Recreate || seen.Replicas == 0 || w.plane.tamperedWith() {
		return
	}
	if d.State.Stable == "" {
		return // a first version that was never let in
	}
	if n == 0 && w.reaches(v.name) {
		w.fail("I2 nothing that may be sent traffic is scaled down", "%s to 0 in %s while %s", v.name, d.State.Phase, w.plane.routes())
		return
	}
	serving := max(v.serving(), seen.Versions[v.name].Serving)
	left := min(n, serving)
	if left == serving {
		return // only what does not serve goes
	}
	spare := w.spare()
	if most := max(w.plane.api.Weights[v.name], w.plane.live.Weights[v.name]); n > 0 && !w.plane.live.Open && !w.plane.api.Open &&
		most > bound(left+spare, seen.Replicas) && v.name != d.State.Stable {
		w.fail("I1 a weight has the instances that carry it", "%s to %d of %d in %s while %s", v.name, n, seen.Replicas, d.State.Phase, w.plane.routes())
	}
	before := 0
	for _, u := range w.versions {
		if w.plane.api.Weights[u.name] > 0 || w.plane.api.Open {
			before += max(u.serving(), seen.Versions[u.name].Serving) // what fell over since the look is nobody's decision
		}
	}
	after := before
	if w.plane.api.Weights[v.name] > 0 || w.plane.api.Open {
		after -= serving - left
	}
	if floor := seen.Replicas - spare; after < min(before, floor) {
		w.fail("I4 capacity does not fall below what is declared", "%s to %d in %s leaves %d serving of %d, %s",
			v.name, n, d.State.Phase, after, floor, w.plane.routes())
	}
}

// spare is how many instances fewer than asked for the app declares to be enough while it rolls.
func (w *world) spare() int {
	if w.plan.Strategy == rollout.Rolling {
		return w.plan.MaxUnavailable
	}
	return 0
}

// bound is the highest weight that n of the replicas may have.
func bound(n, replicas int) int {
	if replicas == 0 {
		return 100
	}
	return min(100, (100*n+replicas-1)/replicas)
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

// checkWriteBack: only a refused template is overwritten, or stable's by order; and on the way back traffic comes first.
func (w *world) checkWriteBack(a rollout.Action) {
	s := w.control.saved
	called := s.Phase == rollout.Preparing && s.Called != nil && a.Over == s.Stable && a.Version == s.Candidate
	refused := s.Phase == rollout.Aborting && a.Over == s.Rejected && a.Version == s.Stable
	if !called && !refused {
		w.fail("a template is only written back over a refused one", "%s over %s in %s", a.Version, a.Over, s.Phase)
		return
	}
	if refused && w.reaches(a.Over) && len(w.version(a.Over).instances) > 0 {
		w.fail("I6 traffic is back before the template", "%s over %s while %s", a.Version, a.Over, w.plane.routes())
	}
}

// checkServed asks the truth at any moment: a request that is sent now finds a serving instance, by whichever route is still in use.
func (w *world) checkServed(when string) {
	if w.failure != nil || w.plane.tamperedWith() || w.replicas == 0 {
		return
	}
	if w.serving() == 0 && slices.ContainsFunc(w.versions, func(v *version) bool { return v.asked > 0 && v.excused }) {
		return // a fault took what served last, and nowhere else is any better
	}
	w.checkServedBy(w.plane.live, when)
	for _, t := range w.plane.trailing {
		w.checkServedBy(t.route, when)
	}
}

func (w *world) checkServedBy(r rollout.Route, when string) {
	if r.Open {
		return // traffic follows what serves; see checkOpen
	}
	for _, v := range w.versions {
		sent := r.Weights[v.name] > 0 || r.To == v.name && r.Match != nil
		if sent && v.serving() == 0 && !v.excused {
			w.fail("nothing is lost", "after %s requests go to %s, which has no serving instance; %s", when, v.name, w.plane.routes())
		}
	}
}

// checkOpen: where traffic follows what serves, no action takes the last that does.
func (w *world) checkOpen(before int, seen rollout.Snapshot, what string) {
	open := w.plane.live.Open
	for _, t := range w.plane.trailing {
		open = open || t.route.Open
	}
	if open && before > 0 && w.serving() == 0 && seen.Replicas > 0 && w.plan.Strategy != rollout.Recreate && w.control.saved.Stable != "" {
		w.fail("nothing is lost", "after %s no version serves", what)
	}
}

// serving counts the serving instances of all versions.
func (w *world) serving() (n int) {
	for _, v := range w.versions {
		n += v.serving()
	}
	return n
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

// follow remembers what the rules need, of a state that was saved.
func (t *watch) follow(w *world, d rollout.Decision, prev rollout.State) {
	s := d.State
	if s.Phase != prev.Phase {
		w.count(string(w.plan.Strategy) + " " + string(w.plan.Split) + " " + string(s.Phase))
	}
	if s.Aborted != nil && prev.Aborted == nil {
		w.count("reason " + s.Aborted.Reason)
	}
	if back := s.Aborted; back != nil && back.Refused {
		t.refused = back.Version
	}
	if s.Phase == rollout.Aborting && prev.Phase != rollout.Aborting {
		t.fought = !w.quiet
	}
	if s.Revision != t.revision {
		ordered := false
		for _, a := range d.Answers {
			ordered = ordered || a.Obeyed && (a.Order.Verb == rollout.Retry || a.Order.Verb == rollout.Undo)
		}
		if s.Candidate != "" && s.Candidate == t.refused && !ordered {
			w.fail("a refused version does not start", "revision %d begins with %s", s.Revision, s.Candidate)
		}
		t.revision, t.refused, t.used = s.Revision, "", 0
	}
	if prev.Phase == rollout.Shifting && prev.Step < len(w.plan.Steps) && w.plan.Strategy == rollout.Canary && s.Step > prev.Step &&
		w.plan.Steps[prev.Step].Manual && !s.Full && s.Revision == prev.Revision {
		if prev.Promoted == nil && s.Promoted == nil && len(d.Answers) == 0 || prev.Promoted != nil && prev.Promoted.ID == t.used {
			w.fail("a manual stop lasts until somebody promotes", "step %d of revision %d", prev.Step+1, s.Revision)
		}
		if prev.Promoted != nil {
			t.used = prev.Promoted.ID
		}
	}
}

// resting tells whether the app has come to rest, for a few looks in a row.
func (w *world) resting() bool {
	s := w.control.saved
	if s.Phase == rollout.Idle && w.taken || s.Phase != rollout.Idle && s.Phase != rollout.Held {
		return false
	}
	if r := s.Reason; r != rollout.ReasonServing && r != rollout.ReasonAborted && r != rollout.ReasonHeld {
		return false
	}
	stable := w.version(s.Stable)
	return w.watch.calm > 2 && w.plane.settled() && len(w.orders) == 0 && stable.serving() == w.replicas && w.watch.fresh > 2
}

// checkRest: at rest the world holds what its user wrote, and nothing else.
func (w *world) checkRest() {
	s := w.control.saved
	const rule = "I9 at rest all is as the user wrote it"
	for _, v := range w.versions {
		if v.name != s.Stable && len(v.instances) > 0 {
			w.fail(rule, "%d instances of %s in %s", len(v.instances), v.name, s.Phase)
		}
	}
	stable := w.version(s.Stable)
	if stable.asked != w.replicas || stable.running() != w.replicas {
		w.fail(rule, "%d instances of %s run and %d are asked for", stable.running(), s.Stable, w.replicas)
	}
	rest := rollout.Route{Weights: rollout.Weights{s.Stable: 100}, Open: w.plan.Split == rollout.ByShare}
	if !w.plane.live.Equal(rest) {
		w.fail(rule, "the data plane has %s", w.plane.live)
	}
	switch {
	case s.Phase == rollout.Idle && w.wanted != s.Stable:
		w.fail(rule, "%s serves and the template asks for %s", s.Stable, w.wanted)
	case s.Phase == rollout.Held && w.wanted != s.Rejected:
		w.fail(rule, "%s is held and the template asks for %s", s.Rejected, w.wanted)
	case s.Phase == rollout.Held && !w.watch.fought:
		w.fail(rule, "%s was refused and nobody wrote its template again, but it is there", s.Rejected)
	case s.Phase == rollout.Idle && w.taken:
		w.fail(rule, "the app was not given back")
	}
	if gone := s.Aborted; gone != nil && !gone.Untouched {
		if v := w.version(gone.Version); v != nil && v.exists && v.name != s.Stable {
			w.fail(rule, "%s was aborted and something of it is left", v.name)
		}
	}
}

// describe is an action in a line.
func describe(a rollout.Action) string {
	switch a.Kind {
	case rollout.Scale:
		return fmt.Sprintf("scale %s to %d", a.Version, a.Replicas)
	case rollout.SetRoute:
		return fmt.Sprintf("route %s", a.Route)
	case rollout.WriteBack:
		return fmt.Sprintf("write-back %s over %s", a.Version, a.Over)
	}
	return fmt.Sprintf("%s %s", a.Kind, a.Version)
}
