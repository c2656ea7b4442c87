package rollouttest

import (
	"slices"

	"gapless.dev/gapless/internal/rollout"
)

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

// resting tells whether the app has come to rest and was given back, for a few looks in a row.
func (w *world) resting() bool {
	return w.still() && !(w.control.saved.Phase == rollout.Idle && w.taken)
}

// restsMidway tells whether the app is still although the faults go on: what happened last was seen and answered, and the platform has ended
// what it was told to. What is left undone then would never be done.
func (w *world) restsMidway() bool {
	ending := slices.ContainsFunc(w.versions, func(v *version) bool { return v.running() > v.asked })
	return w.still() && !ending && w.elapsed >= w.control.downUntil
}

// still tells whether nothing has moved, or is about to, for a few looks in a row.
func (w *world) still() bool {
	s := w.control.saved
	if s.Phase != rollout.Idle && s.Phase != rollout.Held {
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
	case s.Phase == rollout.Held && !w.watch.fought && w.gitops == 0:
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
