package rollouttest

import (
	"fmt"

	"gapless.dev/gapless/internal/rollout"
)

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
