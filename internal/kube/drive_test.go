package kube

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// A desk is an App over a small API server without controllers: what Kubernetes would do, the test does.
type desk struct {
	*testing.T
	app    *App
	client client.Client
	writes []string // kind and what was changed
}

var deskKey = types.NamespacedName{Namespace: "shop", Name: "api"}

func newDesk(t *testing.T) *desk {
	t.Helper()
	scheme, err := Scheme()
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{T: t}
	note := func(verb string, o client.Object, p client.Patch) {
		text := ""
		if p != nil {
			b, _ := p.Data(o)
			text = " " + string(b)
		}
		kind, _, _ := strings.Cut(nameOf(o), " ")
		d.writes = append(d.writes, verb+" "+kind+text)
	}
	d.client = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Rollout{}).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			note("patch", o, p)
			return c.Patch(ctx, o, p, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			note("create", o, nil)
			return c.Create(ctx, o, opts...)
		},
	}).Build()
	d.app = &App{Client: d.client, Key: deskKey, proved: true}

	template := templateOf("api:1", map[string]any{"app": "api"})
	deploy := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"replicas": int64(3), "template": template, "selector": map[string]any{"matchLabels": map[string]any{"app": "api"}},
		"strategy": map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": int64(1), "maxUnavailable": int64(0)}},
	}}}
	deploy.SetGroupVersionKind(deploymentKind)
	deploy.SetNamespace("shop")
	deploy.SetName("api")
	deploy.SetUID("deploy")
	deploy.SetLabels(map[string]string{v1alpha1.LabelManaged: "true"})
	deploy.SetAnnotations(map[string]string{revisionAnnotation: "1"})
	d.put(deploy)

	old := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"replicas": int64(3), "template": templateOf("api:1", map[string]any{"app": "api", hashLabel: "old"}),
	}}}
	old.SetGroupVersionKind(replicaSetKind)
	old.SetNamespace("shop")
	old.SetName("api-old")
	old.SetUID("old")
	old.SetLabels(map[string]string{"app": "api", hashLabel: "old"})
	old.SetAnnotations(map[string]string{revisionAnnotation: "1", desiredAnnotation: "3"})
	old.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "api", UID: "deploy", Controller: ptr.To(true)}})
	d.put(old)

	d.put(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "api", Namespace: "shop"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "api"}}})
	d.put(&v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Name: "api", Namespace: "shop", UID: "rollout"},
		Spec:       v1alpha1.RolloutSpec{Strategy: &v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{{Weight: new(int32(50))}}}}},
	})
	d.look()
	d.writes = nil
	return d
}

func (d *desk) put(o client.Object) {
	d.Helper()
	if err := d.client.Create(d.Context(), o); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) deployment() *unstructured.Unstructured {
	d.Helper()
	u, err := Deployment(d.Context(), d.client, "shop", "api")
	if err != nil {
		d.Fatal(err)
	}
	return u
}

// change writes as somebody else would.
func (d *desk) change(o *unstructured.Unstructured, change func()) {
	d.Helper()
	change()
	if err := d.client.Update(d.Context(), o); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) look() rollout.Snapshot {
	d.Helper()
	seen, err := d.app.Observe(d.Context())
	if err != nil {
		d.Fatal(err)
	}
	return seen.Snapshot
}

func (d *desk) apply(a rollout.Action) {
	d.Helper()
	d.look()
	if err := d.app.Apply(d.Context(), a); err != nil {
		d.Fatal(err)
	}
}

// newTemplate is a changed template that the guard holds.
func (d *desk) newTemplate() rollout.Version {
	d.Helper()
	deploy := d.deployment()
	d.change(deploy, func() {
		_ = unstructured.SetNestedField(deploy.Object, templateOf("api:2", map[string]any{"app": "api"}), "spec", "template")
		_ = unstructured.SetNestedField(deploy.Object, true, "spec", "paused")
		deploy.SetLabels(map[string]string{v1alpha1.LabelManaged: "true", v1alpha1.LabelHeld: "true"})
	})
	return d.look().Wanted
}

func TestScale_MakesRoomForTwoVersionsStepByStep(t *testing.T) {
	d := newDesk(t)
	v := d.newTemplate()
	if err := d.app.Save(t.Context(), rollout.State{Phase: rollout.Preparing, Stable: "old", Candidate: v}); err != nil {
		t.Fatal(err)
	}
	grow := rollout.Action{Kind: rollout.Scale, Version: v, Replicas: 1}

	d.apply(grow)
	want := []string{"patch *v1alpha1.Rollout", "create *v1.Service", "patch ReplicaSet"}
	if got := kinds(d.writes); !cmp.Equal(want, got) {
		t.Error(cmp.Diff(want, got))
	}
	if text := d.writes[2]; !strings.Contains(text, desiredAnnotation) || !strings.Contains(text, "resourceVersion") {
		t.Errorf("stable keeps its desired count: %s", text)
	}
	d.writes = nil
	d.apply(grow)
	if len(d.writes) != 1 || !strings.Contains(d.writes[0], "Recreate") || !strings.Contains(d.writes[0], "resourceVersion") {
		t.Fatalf("want one write of Recreate with a resourceVersion: %v", d.writes)
	}
	d.writes = nil
	d.apply(grow)
	if got := kinds(d.writes); !cmp.Equal([]string{"create ReplicaSet"}, got) || d.look().Versions[v].Asked != 1 {
		t.Fatalf("the ReplicaSet was not made with its pod: %v", d.writes)
	}
	d.ready(v)
	if s := d.look().Versions[v]; s.Serving != 0 {
		t.Error("it may get traffic before Kubernetes has recognised its ReplicaSet")
	}
	stamp(d, v)
	if s := d.look().Versions[v]; s.Serving != 1 {
		t.Errorf("it is recognised and does not serve: %+v", s)
	}
	var kept map[string]any
	if err := json.Unmarshal(d.app.seen.rollout.Status.Kept.Strategy.Raw, &kept); err != nil || kept["type"] != "RollingUpdate" {
		t.Errorf("the user's strategy is not kept: %v %v", kept, err)
	}
}

// stamp does what the native controller does with the ReplicaSet of the template.
func stamp(d *desk, v rollout.Version) {
	d.Helper()
	s, stands := d.app.seen.set(v)
	if !stands {
		d.Fatal("no ReplicaSet")
	}
	d.change(s.Unstructured, func() {
		s.SetAnnotations(map[string]string{revisionAnnotation: "2"})
	})
	deploy := d.deployment()
	d.change(deploy, func() {
		deploy.SetAnnotations(map[string]string{revisionAnnotation: "2"})
	})
}

// ready is a pod of the version that serves and is listed.
func (d *desk) ready(v rollout.Version) {
	d.Helper()
	s, stands := d.app.seen.set(v)
	if !stands {
		d.Fatal("no ReplicaSet")
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.GetName() + "-1", Namespace: "shop", Labels: map[string]string{"app": "api", hashLabel: string(v)},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: s.GetName(), UID: s.GetUID(), Controller: ptr.To(true)}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "api-preview-1", Namespace: "shop", Labels: map[string]string{
			discoveryv1.LabelServiceName: "api-preview", discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io",
		}},
		Endpoints: []discoveryv1.Endpoint{{TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod.Name}}},
	}
	for _, o := range []client.Object{pod, slice} {
		if err := d.client.Create(d.Context(), o); err != nil {
			d.Fatal(err)
		}
	}
}

func kinds(writes []string) []string {
	var all []string
	for _, w := range writes {
		all = append(all, strings.Join(strings.SplitN(w, " ", 3)[:2], " "))
	}
	return all
}

func TestRelease_LetsNothingGoThatWasNotChecked(t *testing.T) {
	d := newDesk(t)
	v := d.newTemplate()
	d.look()
	d.writes = nil
	d.apply(rollout.Action{Kind: rollout.Release, Version: "old"}) // the template is another one by now
	if len(d.writes) > 0 {
		t.Errorf("released over the head of %s: %v", v, d.writes)
	}
}

func TestRelease_OfAnOldReadingIsAConflict(t *testing.T) {
	d := newDesk(t)
	deploy := d.deployment()
	d.change(deploy, func() {
		deploy.SetLabels(map[string]string{v1alpha1.LabelManaged: "true", v1alpha1.LabelHeld: "true"})
		_ = unstructured.SetNestedField(deploy.Object, true, "spec", "paused")
	})
	d.look()
	d.thirdTemplate()
	err := d.app.Apply(t.Context(), rollout.Action{Kind: rollout.Release, Version: "old"})
	if err == nil {
		t.Error("a template that arrived in the moment of the release was released with it")
	}
}

// thirdTemplate is a template that arrives behind the App's back.
func (d *desk) thirdTemplate() {
	deploy := d.deployment()
	d.change(deploy, func() {
		_ = unstructured.SetNestedField(deploy.Object, templateOf("api:3", map[string]any{"app": "api"}), "spec", "template")
	})
}

func TestWriteBack_LeavesAThirdTemplateAlone(t *testing.T) {
	d := newDesk(t)
	d.newTemplate()
	d.thirdTemplate()
	d.writes = nil
	d.apply(rollout.Action{Kind: rollout.WriteBack, Version: "old", Over: "somebody"})
	if len(d.writes) > 0 {
		t.Errorf("written over: %v", d.writes)
	}
	third := d.look().Wanted
	d.apply(rollout.Action{Kind: rollout.WriteBack, Version: "old", Over: third})
	if w := d.look().Wanted; w != "old" {
		t.Errorf("wanted %s", w)
	}
	labels, _, _ := unstructured.NestedStringMap(d.deployment().Object, "spec", "template", "metadata", "labels")
	if _, has := labels[hashLabel]; has {
		t.Errorf("the hash came into the user's template: %v", labels)
	}
}
