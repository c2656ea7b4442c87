package kube

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// A Rollout that is deleted when its Deployment is gone already does not stay for ever, and leaves no pin behind.
func TestBury_ARolloutWhoseDeploymentWentMidway(t *testing.T) {
	d := newDesk(t)
	v := d.newTemplate()
	if err := d.app.Save(t.Context(), rollout.State{Phase: rollout.Preparing, Stable: "old", Candidate: v}); err != nil {
		t.Fatal(err)
	}
	grow := rollout.Action{Kind: rollout.Scale, Version: v, Replicas: 1}
	for range 6 {
		d.apply(grow)
	}
	d.apply(rollout.Action{Kind: rollout.SetRoute, Route: &rollout.Route{Weights: rollout.Weights{"old": 100}}})
	service := func() corev1.Service {
		t.Helper()
		var s corev1.Service
		if err := d.client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "api"}, &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := service(); s.Spec.Selector[hashLabel] != "old" {
		t.Fatalf("not pinned: %v", s.Spec.Selector)
	}
	r := d.rollout()
	if len(r.Finalizers) == 0 {
		t.Fatal("it has no finalizer")
	}
	if err := errors.Join(d.client.Delete(t.Context(), d.deployment()), d.client.Delete(t.Context(), r)); err != nil {
		t.Fatal(err)
	}
	var err error
	for range 5 {
		if _, err = d.app.Observe(t.Context()); errors.Is(err, ErrGone) {
			break
		}
		t.Log(err)
	}
	if !errors.Is(err, ErrGone) {
		t.Fatalf("it stays: %v", err)
	}
	if err := d.client.Get(t.Context(), deskKey, &v1alpha1.Rollout{}); !Gone(err) {
		t.Errorf("the Rollout: %v", err)
	}
	if s := service(); s.Spec.Selector[hashLabel] != "" || s.Labels[v1alpha1.LabelPinned] != "" {
		t.Errorf("still pinned: %v %v", s.Spec.Selector, s.Labels)
	}
}
