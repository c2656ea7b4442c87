package kube_test

import (
	"encoding/json"
	"testing"
	"time"

	"gapless.dev/gapless/install"
	"gapless.dev/gapless/test/e2e/world"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// TestConfig_AChangeIsANewVersion where the Rollout asks for that: of a ConfigMap that the template names, and of a Secret.
func TestConfig_AChangeIsANewVersion(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	objects, err := install.Objects(install.Options{Config: []string{"ConfigMap", "Secret"}})
	world.Check(t, err)
	for _, o := range objects {
		if o.GetName() == "gapless-controller-config" {
			body, err := json.Marshal(o)
			world.Check(t, err)
			world.Check(t, w.Patch(w.Context(), o, client.RawPatch(types.ApplyPatchType, body), client.FieldOwner("kubectl"), client.ForceOwnership))
		}
	}
	w.Deploy()
	meta := metav1.ObjectMeta{Name: "settings", Namespace: w.Namespace}
	cm := &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"a": "1"}}
	secret := &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"b": "1"}}
	world.Check(t, w.Create(w.Context(), cm))
	world.Check(t, w.Create(w.Context(), secret))
	w.PatchDeployment(`[{"op":"add","path":"/spec/template/spec/containers/0/envFrom","value":[{"configMapRef":{"name":"settings"}},{"secretRef":{"name":"settings"}}]}]`)
	w.Available(3)
	w.Adopt(world.BlueGreen(), func(r *v1alpha1.Rollout) { r.Spec.Config = []string{"ConfigMap", "Secret"} })
	w.Until("the settings are known", func(r *v1alpha1.Rollout) bool { return len(r.Status.Config) == 2 })
	time.Sleep(2 * time.Second)
	if r := w.Rollout(); r.Status.Revision != 1 {
		t.Fatalf("adoption began a rollout: %s", r.Status.Message)
	}
	counted := w.UnderLoad(0.5, 0.3, func() {
		for i, change := range []func() error{
			func() error { cm.Data["a"] = "2"; return w.Update(w.Context(), cm) },
			func() error { secret.StringData = map[string]string{"b": "2"}; return w.Update(w.Context(), secret) },
		} {
			world.Check(t, change())
			w.Rests("rolled", func(r *v1alpha1.Rollout) bool {
				return r.Status.Revision == int64(i+2) && r.Status.Candidate == nil && r.Status.Phase == string(rollout.Idle)
			})
		}
	})
	w.NothingLost(counted)
}
