package kube_test

import (
	"testing"

	"gapless.dev/gapless/test/e2e/world"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/cli/eject"
)

func TestWithoutPolicies_TheDeploymentIsPausedAtRest(t *testing.T) {
	w := world.New(t)
	without(w, "gapless-guard", "gapless-pin", "gapless-drain-at-birth")
	w.Deploy()
	before := w.Theirs()
	w.Adopt(world.BlueGreen())
	if d := w.Deployment(); !d.Spec.Paused || d.Labels[v1alpha1.LabelManaged] != v1alpha1.ManagedByPause {
		t.Errorf("paused %v, labels %v", d.Spec.Paused, d.Labels)
	}
	counted := w.UnderLoad(0.5, 0.3, func() {
		w.Set("2.0.0")
		w.Rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 2 && r.Status.Candidate == nil })
		if d := w.Deployment(); !d.Spec.Paused {
			t.Error("not paused at rest")
		}
		if out, err := w.Gapless(eject.New, world.Demo, "--timeout", "1m"); err != nil {
			t.Fatal(err, out)
		}
	})
	w.NothingLost(counted)
	w.SameAs(before)
}
