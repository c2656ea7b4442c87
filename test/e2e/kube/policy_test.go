package kube_test

import (
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gapless.dev/gapless/api/v1alpha1"
)

// without takes policies out of force, for the time of a test.
func without(w *world.World, names ...string) {
	w.Helper()
	for _, name := range names {
		b := &unstructured.Unstructured{}
		b.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingAdmissionPolicyBinding"})
		b.SetName(name)
		world.Check(w.T, client.IgnoreNotFound(w.Delete(w.Context(), b)))
	}
	w.Cleanup(w.Reinstall)
	time.Sleep(3 * time.Second) // until the API server has heard of it
}

// TestPolicy_DeletedAtRest: the guard was there at adoption and is gone when a template changes. Kubernetes starts it; that is said, the
// controller takes the rollout over from there, and nothing is lost.
func TestPolicy_DeletedAtRest(t *testing.T) {
	if !soak {
		t.Skip("in a soak")
	}
	w := world.New(t)
	w.Deploy("-naive")
	before := w.Theirs()
	w.Adopt(world.Canary("8s"))
	rolled(w, "2.0.0")
	without(w, "gapless-guard")
	counted := w.UnderLoad(1, 0.3, func() {
		w.Set("3.0.0")
		w.Condition(world.Demo, v1alpha1.ConditionGuarded, metav1.ConditionFalse, v1alpha1.ReasonUnguarded)
		(&journey{World: w}).end("3.0.0")
	})
	w.NothingLost(counted)
	w.SameAs(before)
}
