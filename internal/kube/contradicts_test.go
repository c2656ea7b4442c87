package kube

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/api/v1alpha1"
)

func TestAdopt_RefusesWhatTheDeploymentWouldDoOtherwise(t *testing.T) {
	d := newDesk(t)
	r := d.rollout()
	r.Spec.Strategy = &v1alpha1.Strategy{Recreate: &v1alpha1.Recreate{}}
	if err := d.client.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	_, err := d.app.Observe(t.Context())
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Reason != v1alpha1.ReasonAnotherStrategy || !strings.Contains(refusal.Message, "which is RollingUpdate; set its spec.strategy.type to Recreate") {
		t.Fatalf("not refused: %v", err)
	}
	if _, err := PreviewOf(t.Context(), d.client, r, "2"); !errors.As(err, &refusal) {
		t.Errorf("what cannot be is shown: %v", err)
	}
	deploy := d.deployment()
	d.change(deploy, func() {
		_ = unstructured.SetNestedMap(deploy.Object, map[string]any{"type": "Recreate"}, "spec", "strategy")
	})
	if _, err := d.app.Observe(t.Context()); err != nil {
		t.Errorf("it is refused still: %v", err)
	}
	r = d.rollout()
	r.Spec.Strategy = &v1alpha1.Strategy{Rolling: &v1alpha1.Rolling{}}
	if err := d.client.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := d.app.Observe(t.Context()); !errors.As(err, &refusal) || !strings.Contains(refusal.Message, "which is Recreate; set its spec.strategy.type to RollingUpdate") {
		t.Errorf("rolled with a gap: %v", err)
	}
}
