package kube_test

import (
	"fmt"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// A cell is one rollout to which something happens at one place of its way.
type cell struct{ strategy, service, via, at, event string }

func (c cell) String() string {
	return fmt.Sprintf("%s, %s, %s: %s %s", c.strategy, c.service, c.via, c.event, c.at)
}

// strategies with stops at which a story can wait. Pods take a while to come up, so that every phase lasts.
var strategies = map[string]func() *v1alpha1.Strategy{
	"canary": func() *v1alpha1.Strategy {
		return &v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{
			{Weight: new(int32(25)), Pause: "manual"}, {Weight: new(int32(75)), Pause: "manual"},
		}}}
	},
	"blue-green": func() *v1alpha1.Strategy {
		return &v1alpha1.Strategy{BlueGreen: &v1alpha1.BlueGreen{Switch: "manual", HoldBack: duration(6 * time.Second)}}
	},
	"rolling": func() *v1alpha1.Strategy { return &v1alpha1.Strategy{Rolling: &v1alpha1.Rolling{}} },
}

// places of a rollout, in their order. aborting is reached by an order at the last stop before it.
var places = map[string][]string{
	"canary":     {preparing, at25, at75, promoting, finishing, aborting},
	"blue-green": {preparing, preview, promoting, holdingBack, draining, aborting},
	"rolling":    {shifting},
}

const (
	preparing, at25, at75, preview    = "while it prepares", "at 25 %", "at 75 %", "at the preview"
	promoting, finishing, holdingBack = "while it promotes", "while it finishes", "in the hold-back"
	draining, aborting, shifting      = "while it drains", "while it aborts", "while it rolls"
)

// stands tells whether a rollout is at a place.
func stands(at string, st v1alpha1.RolloutStatus) bool {
	phase, waits := rollout.Phase(st.Phase), st.Reason == rollout.ReasonAwaitingPromote
	switch at {
	case preparing:
		return phase == rollout.Preparing && !waits
	case at25:
		return waits && st.Step == "1/2"
	case at75:
		return waits && st.Step == "2/2"
	case preview:
		return phase == rollout.Preparing && waits
	case promoting: // at the last stop all pods stand already, and it is over as soon as the route has arrived
		return phase == rollout.Promoting || phase == rollout.Finishing
	case finishing:
		return phase == rollout.Finishing
	case holdingBack:
		return phase == rollout.Finishing && st.Reason == rollout.ReasonHoldingBack
	case draining:
		return phase == rollout.Finishing && st.Reason != rollout.ReasonHoldingBack && st.Reason != rollout.ReasonRouteConverging
	case aborting:
		return phase == rollout.Aborting
	case shifting:
		return phase == rollout.Shifting
	}
	return false
}

// A journey is one cell on its way.
type journey struct {
	*world.World
	cell
	from, to string
	asked    string // the stop that was passed last
}

// reach goes on until the rollout is at the cell's place: past the stops before it, and back at the last one where it is to abort.
func (j *journey) reach() {
	j.Helper()
	j.Eventually(j.at, 2*time.Minute, func() error {
		st := j.Rollout().Status
		if stands(j.at, st) {
			return nil
		}
		if st.Reason == rollout.ReasonAwaitingPromote {
			last := st.Step == "2/2" || st.Step == ""
			if j.at == aborting && last {
				j.once("abort", rollout.Abort)
			} else {
				j.pass(st)
			}
		}
		return fmt.Errorf("phase %s: %s: %s", st.Phase, st.Reason, st.Message)
	})
}

// pass promotes at each stop once.
func (j *journey) pass(st v1alpha1.RolloutStatus) {
	j.once(fmt.Sprintf("%d %s %s", st.Revision, st.Phase, st.Step), rollout.Promote)
}

func (j *journey) once(stop string, v rollout.Verb) {
	if j.asked != stop {
		j.asked = stop
		j.Order(v)
	}
}

// end goes on until a version is stable and all is at rest, past every stop.
func (j *journey) end(version string) {
	j.Helper()
	j.Eventually(version+" serves alone", 4*time.Minute, func() error {
		r := j.Rollout()
		st := r.Status
		if st.Reason == rollout.ReasonAwaitingPromote {
			j.pass(st)
		}
		d := j.Deployment()
		_, held := d.Labels[v1alpha1.LabelHeld]
		switch n := *d.Spec.Replicas; {
		case st.Phase != string(rollout.Idle) || st.Kept != nil || len(r.Finalizers) > 0 || held:
			return fmt.Errorf("phase %s: %s: %s", st.Phase, st.Reason, st.Message)
		case d.Spec.Template.Spec.Containers[0].Args[1] != version:
			return fmt.Errorf("the template asks for %s", d.Spec.Template.Spec.Containers[0].Args[1])
		case d.Status.ObservedGeneration < d.Generation || d.Status.Replicas != n || d.Status.UpdatedReplicas != n || d.Status.AvailableReplicas != n:
			return fmt.Errorf("the Deployment has %+v", d.Status)
		}
		return nil
	})
}

// play tells a cell in a world that is at rest with version from, and returns the version that it is at rest with then.
func play(w *world.World, c cell, before world.Snapshot, from, to string) string {
	w.Helper()
	e, form := events[c.event], formOf(c.service)
	j := &journey{World: w, cell: c, from: from, to: to}
	locked := e.locks()
	defer locked.Unlock()
	end := to
	counted := w.UnderLoad(form.fresh, form.post, func() {
		w.Set(to)
		j.reach()
		end = e.does(j)
		j.end(end)
	})
	w.NothingLost(counted)
	if e.after != nil {
		e.after(j)
	}
	w.SameAs(before)
	w.Row("midway", c.strategy, c.service, c.via, c.event+" "+c.at, counted)
	return end
}

func formOf(name string) form {
	for _, f := range forms {
		if f.name == name {
			return f
		}
	}
	panic(name)
}

// settle is a world for the cells of a key, and the version that it is at rest with.
func settle(t *testing.T, key cell) (w *world.World, stable string) {
	t.Helper()
	shared := event{}.locks()
	defer shared.Unlock()
	w, stable = world.New(t), "1.0.0"
	w.Deploy(append([]string{"-start-delay", "1500ms"}, formOf(key.service).args...)...)
	w.Write("apply", mine(w, stable)) // as people keep it
	w.Expose(key.via)
	w.Adopt(strategies[key.strategy]())
	if key.strategy == "rolling" || key.service == "naive" {
		// Kubernetes' own rolling update, and whoever else ends pods, needs pods that were born since: they drain.
		stable = "1.0.1"
		rolled(w, stable)
	}
	return w, stable
}

func TestMidway(t *testing.T) {
	worlds := map[cell][]cell{}
	var order []cell
	for _, c := range cells() {
		key := cell{strategy: c.strategy, service: c.service, via: c.via}
		if worlds[key] == nil {
			order = append(order, key)
		}
		worlds[key] = append(worlds[key], c)
	}
	for _, key := range order {
		t.Run(fmt.Sprintf("%s/%s/%s", key.strategy, key.service, key.via), func(t *testing.T) {
			t.Parallel()
			w, stable := settle(t, key)
			n, before := 1, w.Theirs()
			for _, c := range worlds[key] {
				n++
				if ok := t.Run(c.event+" "+c.at, func(t *testing.T) {
					stable = play(w.In(t), c, before, stable, fmt.Sprintf("%d.0.0", n))
				}); !ok {
					return // what the next one would find is not known
				}
			}
		})
	}
}
