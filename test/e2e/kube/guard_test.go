package kube_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

func TestRollout_NonsenseIsRefusedInWords(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	for _, tt := range []struct{ spec, says string }{
		{`{"strategy":{}}`, "exactly one of"},
		{`{"strategy":{"canary":{},"blueGreen":{}}}`, "exactly one of"},
		{`{"strategy":{"canary":{"steps":[{"weight":50},{"weight":25}]}}}`, "never fall"},
		{`{"strategy":{"canary":{"steps":[{"weight":101}]}}}`, "less than or equal to 100"},
		{`{"strategy":{"canary":{"steps":[{"weight":5,"pause":"soon"}]}}}`, "pause"},
		{`{"strategy":{"canary":{"steps":[{"match":{"header":{"x":"1"}}}]}}}`, "match and mirror need a router"},
		{`{"strategy":{"canary":{"steps":[{"mirror":10}]}}}`, "match and mirror need a router"},
		{`{"targetRef":{"kind":"StatefulSet","name":"db"}}`, "StatefulSet: its pods have identities"},
		{`{"targetRef":{"kind":"DaemonSet","name":"log"}}`, "DaemonSet: it has one pod a node"},
		{`{"targetRef":{"kind":"Job","name":"x"}}`, "only a Deployment can be rolled"},
		{`{"gates":[{"webhook":{"url":"http://x"}}]}`, "they need strategy blueGreen or canary"},
		{`{"traffic":{"traefik":{"ingressRoute":"x"}}}`, "choose canary or blueGreen"},
		{`{"drain":"five"}`, "spec.drain"},
		{`{"strategy":{"blueGreen":{"switch":"never"}}}`, "Unsupported value"},
	} {
		u := &unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(`{"apiVersion":"gapless.dev/v1alpha1","kind":"Rollout","spec":`+tt.spec+`}`), &u.Object); err != nil {
			t.Fatal(err)
		}
		u.SetName("x")
		u.SetNamespace(w.Namespace)
		err := w.Create(w.Context(), u, client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: want %q in: %v", tt.spec, tt.says, err)
		}
	}
	for _, spec := range []string{`{}`, `{"strategy":{"canary":{}}}`, `{"strategy":{"rolling":{}}}`, `{"strategy":{"recreate":{}}}`, `{"strategy":{"blueGreen":{}},"drain":"20s","deadline":"0s"}`} {
		u := &unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(`{"apiVersion":"gapless.dev/v1alpha1","kind":"Rollout","spec":`+spec+`}`), &u.Object); err != nil {
			t.Fatal(err)
		}
		u.SetName("x")
		u.SetNamespace(w.Namespace)
		if err := w.Create(w.Context(), u, client.DryRunAll); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

// mine is the user's own manifest of the world.Demo service, as they keep it in their repository.
func mine(w *world.World, version string) *appsv1.Deployment {
	d := w.Deployment()
	d = &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: world.Demo, Namespace: w.Namespace},
		Spec:       *d.Spec.DeepCopy(),
	}
	d.Spec.Paused, d.Spec.Strategy = false, appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType}
	d.Spec.Template.Spec.Containers[0].Args[1] = version
	return d
}

func mineService(w *world.World) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: world.Demo, Namespace: w.Namespace},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, Selector: map[string]string{"app": world.Demo},
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: world.IntOrString(8080), Protocol: corev1.ProtocolTCP}},
		},
	}
}

func TestGuard_HoldsWhateverIsWrittenMidway(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	before := w.Theirs()
	w.Adopt(&v1alpha1.Strategy{BlueGreen: &v1alpha1.BlueGreen{Switch: "manual"}})
	counted := w.UnderLoad(0.5, 0.3, func() {
		w.Set("2.0.0")
		stands := func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote }
		w.Until("the preview stands", stands)
		for _, write := range []struct {
			name string
			does func()
		}{
			{"kubectl replace of the Deployment", func() { w.Replace(mine(w, "2.0.0")) }},
			{"kubectl apply --server-side of the Deployment", func() { w.Apply(mine(w, "2.0.0")) }},
			{"kubectl rollout resume", func() { w.PatchDeployment(`[{"op":"replace","path":"/spec/paused","value":false}]`) }},
			{"a stale release", func() {
				world.Check(t, w.Patch(w.Context(), w.Deployment(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"gapless.dev/held":null}},"spec":{"paused":null}}`)), client.FieldOwner(v1alpha1.ReleaseManager+"1")))
			}},
			{"another strategy", func() {
				w.PatchDeployment(`[{"op":"replace","path":"/spec/strategy","value":{"type":"RollingUpdate"}}]`)
			}},
			{"kubectl replace of the Service", func() { w.Replace(mineService(w)) }},
			{"kubectl apply --server-side of the Service", func() { w.Apply(mineService(w)) }},
		} {
			write.does()
			d, s := w.Deployment(), w.Service()
			if !d.Spec.Paused || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || d.Labels[v1alpha1.LabelHeld] == "" || d.Labels[v1alpha1.LabelManaged] == "" {
				t.Errorf("%s got through: paused %v, strategy %s, %v", write.name, d.Spec.Paused, d.Spec.Strategy.Type, d.Labels)
			}
			if s.Spec.Selector["pod-template-hash"] == "" || s.Labels[v1alpha1.LabelPinned] == "" {
				t.Errorf("%s unpinned the Service: %v", write.name, s.Spec.Selector)
			}
			time.Sleep(500 * time.Millisecond)
		}
		w.Until("the preview still stands", stands)
		w.Order(rollout.Promote)
		w.Rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Candidate == nil })
	})
	w.NothingLost(counted)
	if counted.Versions["2.0.0"] == 0 {
		t.Error("2.0.0 never served")
	}
	_ = before
}

func TestTemplates_ThatChangeMidway(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, then string
		stable     string
	}{
		{"the old manifest again is an abort", "1.0.0", "1.0.0"},
		{"a third version starts over", "3.0.0", "3.0.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.then == "3.0.0" && !soak {
				t.Skip("in a soak: other stories replace a candidate, too")
			}
			w := world.New(t)
			w.Deploy()
			before := w.Theirs()
			w.Adopt(world.Canary("manual", "2s"))
			counted := w.UnderLoad(0.5, 0.3, func() {
				w.Set("2.0.0")
				w.Until("the first step stands", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
				w.Set(tt.then)
				if tt.then == "3.0.0" {
					w.Until("its first step stands", func(r *v1alpha1.Rollout) bool {
						return r.Status.Reason == rollout.ReasonAwaitingPromote && r.Status.Revision == 3
					})
					w.Order(rollout.Promote)
				}
				w.Rests(tt.stable+" is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Candidate == nil && r.Status.Revision > 1 })
			})
			w.NothingLost(counted)
			w.SameAs(before)
			if got := w.Deployment().Spec.Template.Spec.Containers[0].Args[1]; got != tt.stable {
				t.Errorf("the template asks for %s", got)
			}
		})
	}
}

func TestCandidate_ThatNeverServesIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, patch, says string }{
		{"wrong image", `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"nowhere.invalid/api-status:9"}]`, "Image"},
		{"crash loop", `[{"op":"replace","path":"/spec/template/spec/containers/0/args","value":["-version","2.0.0","-fail","exit"]}]`, "exit code 1"},
		{"never ready", `[{"op":"replace","path":"/spec/template/spec/containers/0/args","value":["-version","2.0.0","-fail","never-ready"]}]`, "does not answer that it is ready"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := world.New(t)
			w.Deploy()
			w.Adopt(world.BlueGreen(), func(r *v1alpha1.Rollout) { r.Spec.Deadline = duration(15 * time.Second) })
			template := fmt.Sprint(w.Deployment().Spec.Template.Spec.Containers[0])
			counted := w.UnderLoad(0.5, 0.3, func() {
				w.PatchDeployment(tt.patch)
				w.Rests("taken back", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
			})
			w.NothingLost(counted)
			for _, c := range w.Rollout().Status.Conditions {
				if c.Type == v1alpha1.ConditionAborted {
					t.Log(c.Reason, c.Message)
					if !strings.Contains(c.Message, tt.says) {
						t.Errorf("want %q in: %s", tt.says, c.Message)
					}
				}
			}
			if got := fmt.Sprint(w.Deployment().Spec.Template.Spec.Containers[0]); got != template {
				t.Errorf("the template is not stable's: %s", got)
			}
		})
	}
}

func TestUndo_ThatIsAbortedIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	w.Adopt(world.Canary("manual"))
	stands := func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote }
	w.Set("2.0.0")
	w.Until("the step stands", stands)
	w.Order(rollout.Promote)
	w.Rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 2 && r.Status.Candidate == nil })
	stable := w.Rollout().Status.Stable.Hash

	w.Set("1.0.0") // its ReplicaSet still stands, under the name that Kubernetes gave it
	w.Until("the step stands", stands)
	w.Order(rollout.Abort)
	w.Rests("stable again", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
	if r := w.Rollout(); r.Status.Stable.Hash != stable || r.Status.Revision != 3 {
		t.Errorf("stable %s, revision %d", r.Status.Stable.Hash, r.Status.Revision)
	}
	w.Set("1.0.0")
	w.Until("it is held", func(r *v1alpha1.Rollout) bool { return r.Status.Phase == string(rollout.Held) })
}

// Nobody gives an order in the name of somebody else, nor one that only looks like a list of orders; and the report says who gave it.
func TestOrders_AreByWhoeverGivesThem(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	w.Adopt(world.Canary("manual"))
	w.Set("2.0.0")
	w.Until("the step stands", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
	refused := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), v1alpha1.AnnotationOrders) {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.Eventually("the policy is in force", time.Minute, func() error {
		if err := w.OrderAs(rollout.Resume, "ann"); err == nil {
			return errors.New("an order of somebody else is taken")
		}
		return nil
	})
	refused("another's name", w.OrderAs(rollout.Promote, "ann"))
	write := func(orders string) error {
		r := w.Rollout()
		before := r.DeepCopy()
		r.Annotations = map[string]string{v1alpha1.AnnotationOrders: orders}
		return w.Patch(w.Context(), r, client.MergeFrom(before))
	}
	me := w.User()
	const one = `{"id":9,"verb":"promote","by":%q,"at":"2026-12-01T00:00:00Z"}`
	for what, orders := range map[string]string{
		"a space":          `[{"id":9,"verb":"promote","by": "ann","at":"2026-12-01T00:00:00Z"}]`,
		"a name twice":     fmt.Sprintf(`[{"id":9,"verb":"promote","by":%q,"at":"2026-12-01T00:00:00Z","By":"ann"}]`, me),
		"one of two":       "[" + fmt.Sprintf(one, me) + "," + fmt.Sprintf(one, "ann") + "]",
		"a name in a name": fmt.Sprintf(`[{"id":9,"verb":"promote","by":"ann\",\"by\":\"%s","at":"2026-12-01T00:00:00Z"}]`, me),
		"not a list":       fmt.Sprintf(one, me),
	} {
		refused(what, write(orders))
	}
	if r := w.Rollout(); r.Status.Reason != rollout.ReasonAwaitingPromote {
		t.Errorf("a refused order did something: %s", r.Status.Message)
	}
	w.Order(rollout.Promote)
	w.Rests("promoted", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 2 && r.Status.Candidate == nil })
	var by []string
	for _, d := range w.Evidence(2).Decisions {
		if d.By != "" {
			by = append(by, d.By)
		}
	}
	if !slices.Equal(by, []string{me}) {
		t.Errorf("the report says by %q, and it was %s", by, me)
	}
}
