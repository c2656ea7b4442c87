package kube

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// heldDesk is a desk in the midst of a revision: the Service is pinned to old.
func heldDesk(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t)
	v := d.newTemplate()
	if err := d.app.Save(t.Context(), rollout.State{Phase: rollout.Preparing, Stable: "old", Candidate: v}); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		d.apply(rollout.Action{Kind: rollout.Scale, Version: v, Replicas: 1})
	}
	d.apply(rollout.Action{Kind: rollout.SetRoute, Route: &rollout.Route{Weights: rollout.Weights{"old": 100}}})
	if s := d.service("api"); s.Spec.Selector[hashLabel] != "old" {
		t.Fatalf("not pinned: %v", s.Spec.Selector)
	}
	if len(d.rollout().Finalizers) == 0 {
		t.Fatal("it has no finalizer")
	}
	return d
}

func (d *desk) service(name string) *corev1.Service {
	d.Helper()
	s := &corev1.Service{}
	if err := d.client.Get(d.Context(), client.ObjectKey{Namespace: "shop", Name: name}, s); err != nil {
		d.Fatal(err)
	}
	return s
}

// goes looks again until the Rollout is gone.
func (d *desk) goes() {
	d.Helper()
	var err error
	for range 8 {
		if _, err = d.app.Observe(d.Context()); errors.Is(err, ErrGone) {
			break
		}
		d.Log(err)
	}
	if !errors.Is(err, ErrGone) {
		d.Fatalf("it stays: %v", err)
	}
	if err := d.client.Get(d.Context(), deskKey, &v1alpha1.Rollout{}); !Gone(err) {
		d.Errorf("the Rollout: %v", err)
	}
}

// A Rollout that is deleted when its Deployment is gone already does not stay for ever, and leaves no pin of its own behind, nor a budget lent.
func TestBury_ARolloutWhoseDeploymentWentMidway(t *testing.T) {
	d := heldDesk(t)
	theirs := d.service("api").DeepCopy()
	theirs.ObjectMeta = metav1.ObjectMeta{Name: "other", Namespace: "shop", Labels: map[string]string{v1alpha1.LabelPinned: "theirs"}}
	theirs.Spec.Selector = map[string]string{"app": "api", hashLabel: "theirs"}
	d.put(theirs)
	d.put(&policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "budget", Namespace: "shop"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(5)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "web"}}},
	})
	r := d.rollout()
	r.Status.Kept.Disruption = &runtime.RawExtension{Raw: []byte(`{"budget":{"minAvailable":2}}`)}
	if err := d.client.Status().Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.client.Delete(t.Context(), d.deployment()), d.client.Delete(t.Context(), d.rollout())); err != nil {
		t.Fatal(err)
	}
	d.goes()
	if s := d.service("api"); s.Spec.Selector[hashLabel] != "" || s.Labels[v1alpha1.LabelPinned] != "" {
		t.Errorf("still pinned: %v %v", s.Spec.Selector, s.Labels)
	}
	if s := d.service("other"); s.Spec.Selector[hashLabel] != "theirs" {
		t.Errorf("the pin of another Rollout is gone: %v", s.Spec.Selector)
	}
	var b policyv1.PodDisruptionBudget
	if err := d.client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "budget"}, &b); err != nil || b.Spec.MinAvailable.IntValue() != 2 {
		t.Errorf("the budget is not given back: %v, %v", b.Spec, err)
	}
}

// What was written last may go before it was seen, as everything does in a namespace that is deleted.
func TestBury_WaitsForNothingThatWent(t *testing.T) {
	d := heldDesk(t)
	d.app.wrote.note(d.service("api"))
	if err := errors.Join(d.client.Delete(t.Context(), d.service("api")), d.client.Delete(t.Context(), d.deployment()), d.client.Delete(t.Context(), d.rollout())); err != nil {
		t.Fatal(err)
	}
	d.goes()
}

// A Rollout that names another Deployment by mistake does not leave the one that it holds.
func TestBury_NotWhileTheAdoptedOneStands(t *testing.T) {
	d := heldDesk(t)
	r := d.rollout()
	r.Status.Adopted = &v1alpha1.Adopted{Deployment: "api", UID: "deploy", MatchLabels: map[string]string{"app": "api"}}
	if err := d.client.Status().Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r = d.rollout()
	r.Spec.TargetRef = &v1alpha1.TargetRef{Name: "apy"}
	if err := errors.Join(d.client.Update(t.Context(), r), d.client.Delete(t.Context(), r)); err != nil {
		t.Fatal(err)
	}
	_, err := d.app.Observe(t.Context())
	var refusal *Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "set spec.targetRef back") {
		t.Fatalf("got %v", err)
	}
	if s := d.service("api"); s.Spec.Selector[hashLabel] != "old" {
		t.Errorf("the pin is gone: %v", s.Spec.Selector)
	}
}
