package kube_test

import (
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/cli/eject"
)

// withoutPolicies is a cluster that does not serve them, or where one may not install them.
func withoutPolicies(w *world.World) {
	w.Helper()
	for _, name := range []string{"gapless-guard", "gapless-pin", "gapless-drain-at-birth"} {
		b := &unstructured.Unstructured{}
		b.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingAdmissionPolicyBinding"})
		b.SetName(name)
		world.Check(w.T, client.IgnoreNotFound(w.Delete(w.Context(), b)))
	}
	time.Sleep(3 * time.Second) // until the API server has heard of it
}

func TestWithoutPolicies_TheDeploymentIsPausedAtRest(t *testing.T) {
	w := world.New(t)
	withoutPolicies(w)
	t.Cleanup(func() {
		w := &world.World{T: t, Client: w.Client, Config: w.Config}
		w.Reinstall()
	})
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
