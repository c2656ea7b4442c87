package kube_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/cli/eject"
)

// withoutPolicies is a cluster that does not serve them, or where one may not install them.
func (w *world) withoutPolicies() {
	w.Helper()
	for _, name := range []string{"gapless-guard", "gapless-pin", "gapless-drain-at-birth"} {
		b := &unstructured.Unstructured{}
		b.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingAdmissionPolicyBinding"})
		b.SetName(name)
		check(w.T, client.IgnoreNotFound(w.Delete(w.Context(), b)))
	}
	time.Sleep(3 * time.Second) // until the API server has heard of it
}

func TestWithoutPolicies_TheDeploymentIsPausedAtRest(t *testing.T) {
	w := newWorld(t)
	w.withoutPolicies()
	t.Cleanup(func() {
		w := &world{T: t, Client: w.Client, config: w.config}
		w.reinstall()
	})
	w.deploy()
	before := w.theirs()
	w.adopt(blueGreen())
	if d := w.deployment(); !d.Spec.Paused || d.Labels[v1alpha1.LabelManaged] != v1alpha1.ManagedByPause {
		t.Errorf("paused %v, labels %v", d.Spec.Paused, d.Labels)
	}
	counted := w.underLoad(0.5, 0.3, func() {
		w.set("2.0.0")
		w.rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 2 && r.Status.Candidate == nil })
		if d := w.deployment(); !d.Spec.Paused {
			t.Error("not paused at rest")
		}
		if out, err := w.run(eject.New, demo, "--timeout", "1m"); err != nil {
			t.Fatal(err, out)
		}
	})
	w.nothingLost(counted)
	w.sameAs(before)
}
