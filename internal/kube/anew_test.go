package kube

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

func TestLook_ADeploymentThatWasMadeAnewIsAdoptedAnew(t *testing.T) {
	d := newDesk(t)
	d.look()
	if err := d.app.Save(t.Context(), rollout.State{Phase: rollout.Shifting, Revision: 4, Stable: "old", Candidate: "young", Done: 9}); err != nil {
		t.Fatal(err)
	}
	if r := d.rollout(); r.Status.Adopted == nil || r.Status.Adopted.UID != "deploy" || r.Status.Kept == nil {
		t.Fatalf("adopted %+v, kept %v", r.Status.Adopted, r.Status.Kept)
	}
	deploy := d.deployment()
	if err := d.client.Delete(t.Context(), deploy); err != nil {
		t.Fatal(err)
	}
	deploy.SetResourceVersion("")
	deploy.SetUID("another")
	d.put(deploy)
	set := &unstructured.Unstructured{}
	set.SetGroupVersionKind(replicaSetKind)
	if err := d.client.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "api-old"}, set); err != nil {
		t.Fatal(err)
	}
	d.change(set, func() {
		owners := set.GetOwnerReferences()
		owners[0].UID = "another"
		set.SetOwnerReferences(owners)
	})
	seen, err := d.app.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s := seen.State; s.Phase != rollout.Unseen || s.Revision != 4 || s.Done != 9 || s.Stable != "" {
		t.Errorf("it is remembered: %+v", s)
	}
	if r := d.rollout(); r.Status.Adopted.UID != "another" || r.Status.Kept != nil {
		t.Errorf("adopted %+v, kept %v", r.Status.Adopted, r.Status.Kept)
	}
}

func (d *desk) rollout() *v1alpha1.Rollout {
	d.Helper()
	r := &v1alpha1.Rollout{}
	if err := d.client.Get(d.Context(), deskKey, r); err != nil {
		d.Fatal(err)
	}
	return r
}

func TestMake_ANameThatAnotherHasIsLeftAlone(t *testing.T) {
	d := newDesk(t)
	v := d.newTemplate()
	theirs := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(1)}}}
	theirs.SetGroupVersionKind(replicaSetKind)
	theirs.SetNamespace("shop")
	theirs.SetName("api-" + string(v))
	d.put(theirs)
	d.look()
	err := d.app.make(t.Context(), d.app.seen, v, 1)
	if err == nil || !strings.Contains(err.Error(), "another name") {
		t.Fatalf("got %v", err)
	}
	other := d.look().Wanted
	if other == v {
		t.Fatal("it keeps the name")
	}
	if err := d.app.make(t.Context(), d.app.seen, other, 1); err != nil {
		t.Fatal(err)
	}
	if w := d.look().Wanted; w != other {
		t.Errorf("the template is %s then", w)
	}
	still := theirs.DeepCopy()
	if err := d.client.Get(t.Context(), client.ObjectKeyFromObject(theirs), still); err != nil || still.GetResourceVersion() != theirs.GetResourceVersion() {
		t.Errorf("theirs was touched: %v", err)
	}
}

func TestMake_AReplicaSetThatAWebhookChangedIsStillTheTemplates(t *testing.T) {
	d := newDesk(t)
	v := d.newTemplate()
	d.look()
	if err := d.app.make(t.Context(), d.app.seen, v, 1); err != nil {
		t.Fatal(err)
	}
	changed := &unstructured.Unstructured{}
	changed.SetGroupVersionKind(replicaSetKind)
	if err := d.client.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "api-" + string(v)}, changed); err != nil {
		t.Fatal(err)
	}
	d.change(changed, func() {
		changed.SetAnnotations(map[string]string{revisionAnnotation: d.deployment().GetAnnotations()[revisionAnnotation]}) // it was taken before
		_ = unstructured.SetNestedField(changed.Object, "yes", "spec", "template", "metadata", "annotations", "theirs")
	})
	l := d.look()
	if l.Wanted != v {
		t.Errorf("the template is %s, and was %s", l.Wanted, v)
	}
	if s, _ := d.app.seen.set(v); d.app.seen.recognised(s) {
		t.Error("it gets traffic, though Kubernetes will make another one of the template")
	}
	d.app.seen.sets = slices.DeleteFunc(d.app.seen.sets, func(s set) bool { return s.version != v })
	if err := d.app.release(t.Context(), v); err == nil || !strings.Contains(err.Error(), "webhook") || !held(d.deployment()) {
		t.Errorf("it is released: %v", err)
	}
}
