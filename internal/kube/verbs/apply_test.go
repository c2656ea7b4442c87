package verbs

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/api/v1alpha1"
)

// rendered are objects as an app file leads to them.
func rendered(t *testing.T, texts ...string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for _, text := range texts {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

const apiOfFile = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, labels: {gapless.dev/app: api}}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}, annotations: {gapless.dev/version: 1.0.0}}
    spec: {containers: [{name: app, image: "registry:5000/app:1.0.0", env: [{name: LOG, value: debug}]}]}
`

// TestApply_KeepsATagThatWentLiveSinceThePreview: the file's version was only the first, and a person may take hours to say yes.
func TestApply_KeepsATagThatWentLiveSinceThePreview(t *testing.T) {
	c := shop(t)
	goLive := func(version string) {
		t.Helper()
		var r v1alpha1.Rollout
		var d appsv1.Deployment
		for _, err := range []error{c.client.Get(t.Context(), key, &r), c.client.Get(t.Context(), key, &d)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		r.Status.Follow = &v1alpha1.FollowStatus{Live: &v1alpha1.FollowMark{Version: version}}
		d.Spec.Template.Spec.Containers[0].Image = "registry:5000/app:" + version
		d.Spec.Template.Annotations = map[string]string{v1alpha1.AnnotationVersion: version, v1alpha1.AnnotationTag: "v" + version}
		for _, err := range []error{c.client.Status().Update(t.Context(), &r), c.client.Update(t.Context(), &d)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	goLive("2.0.0")
	changes, err := c.Preview(t.Context(), rendered(t, apiOfFile, `
apiVersion: gapless.dev/v1alpha1
kind: Rollout
metadata: {name: api}
spec: {follow: {repository: "https://git.example.org/api"}}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	goLive("2.1.0")
	if err := c.Apply(t.Context(), changes[:1], true, func(Change) {}); err != nil {
		t.Fatal(err)
	}
	var d appsv1.Deployment
	if err := c.client.Get(t.Context(), key, &d); err != nil {
		t.Fatal(err)
	}
	pod := d.Spec.Template
	if got := pod.Spec.Containers[0].Image; got != "registry:5000/app:2.1.0" {
		t.Errorf("the image is %s: the tag that went live was taken back", got)
	}
	if got := pod.Annotations[v1alpha1.AnnotationVersion]; got != "2.1.0" {
		t.Errorf("it is called %s", got)
	}
	if len(pod.Spec.Containers[0].Env) != 1 {
		t.Error("what the file says beside the version was not applied")
	}
}

// TestApply_PrunesOnlyItsOwn: what an earlier deploy of the file has made goes, and nothing that is somebody else's.
func TestApply_PrunesOnlyItsOwn(t *testing.T) {
	c := shop(t)
	ours := map[string]string{"gapless.dev/app": "api"}
	owner := []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x"}}
	for _, s := range []*corev1.Service{
		{ObjectMeta: metav1.ObjectMeta{Name: "old", Namespace: "shop", Labels: ours}},
		{ObjectMeta: metav1.ObjectMeta{Name: "owned", Namespace: "shop", Labels: ours, OwnerReferences: owner}},
		{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere", Namespace: "other", Labels: ours}},
		{ObjectMeta: metav1.ObjectMeta{Name: "of-others", Namespace: "shop", Labels: map[string]string{"gapless.dev/app": "users"}}},
	} {
		if err := c.client.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	changes, err := c.Preview(t.Context(), rendered(t, apiOfFile), labels.SelectorFromSet(ours))
	if err != nil {
		t.Fatal(err)
	}
	var did []string
	if err := c.Apply(t.Context(), changes, true, func(ch Change) { did = append(did, ch.Object+" "+ch.What) }); err != nil {
		t.Fatal(err)
	}
	if len(did) != 2 || did[0] != "Deployment/api changed" || did[1] != "Service/old deleted" {
		t.Errorf("did %q", did)
	}
	var left corev1.ServiceList
	if err := c.client.List(t.Context(), &left); err != nil {
		t.Fatal(err)
	}
	if len(left.Items) != 4 { // api's own, and the three that are not this file's
		t.Errorf("%d Services are left", len(left.Items))
	}
}
