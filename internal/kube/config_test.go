package kube

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"gapless.dev/gapless/api/v1alpha1"
)

func TestNamed_WhereverAPodMentionsIt(t *testing.T) {
	var spec map[string]any
	if err := yaml.Unmarshal([]byte(`
containers:
- name: app
  env:
  - {name: A, valueFrom: {configMapKeyRef: {name: env, key: a}}}
  - {name: B, valueFrom: {secretKeyRef: {name: env-secret, key: b}}}
  envFrom: [{configMapRef: {name: all}}, {secretRef: {name: all-secret}}]
initContainers:
- {name: first, envFrom: [{configMapRef: {name: first}}]}
volumes:
- {name: v, configMap: {name: files}}
- {name: s, secret: {secretName: cert}}
- {name: p, projected: {sources: [{configMap: {name: part}}, {secret: {name: part-secret}}]}}
- {name: e, emptyDir: {}}
imagePullSecrets: [{name: registry}]
`), &spec); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string][]string{
		"ConfigMap": {"all", "env", "files", "first", "part"},
		"Secret":    {"all-secret", "cert", "env-secret", "part-secret"},
	} {
		if got := slices.Sorted(maps.Keys(named(spec, kind))); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
}

func TestConfig_AChangeOfWhatIsNamedIsAChangeOfTheTemplate(t *testing.T) {
	d := newDesk(t)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "shop"}, Data: map[string]string{"a": "1"}}
	d.put(cm)
	deploy := d.deployment()
	d.change(deploy, func() {
		containers, _, _ := unstructured.NestedSlice(deploy.Object, "spec", "template", "spec", "containers")
		containers[0].(map[string]any)["envFrom"] = []any{map[string]any{"configMapRef": map[string]any{"name": "settings"}}}
		_ = unstructured.SetNestedSlice(deploy.Object, containers, "spec", "template", "spec", "containers")
	})
	r := d.rollout()
	r.Spec.Config = []string{"ConfigMap"}
	if err := d.client.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	before := d.look().Wanted
	if mark := d.mark(); mark != "" || d.rollout().Status.Config["ConfigMap/settings"] == "" {
		t.Fatalf("looked at for the first time: mark %q, %v", mark, d.rollout().Status.Config)
	}
	cm.Data["a"] = "2"
	if err := d.client.Update(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
	if after := d.look().Wanted; after == before || d.mark() == "" {
		t.Errorf("a change of the ConfigMap: version %s, mark %q", after, d.mark())
	}
	writes := len(d.writes)
	d.look()
	if len(d.writes) != writes {
		t.Errorf("written once more: %v", d.writes[writes:])
	}
}

func (d *desk) mark() string {
	d.Helper()
	annotations, _, _ := unstructured.NestedStringMap(d.deployment().Object, "spec", "template", "metadata", "annotations")
	return annotations[v1alpha1.AnnotationConfig]
}
