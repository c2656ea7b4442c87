package kube_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

type form struct {
	name        string
	args        []string
	fresh, post float64
}

// forms of the service, and how much of the load is on new connections: what a naive service loses on kept-alive ones cannot be saved
// by a Service.
var forms = []form{
	{"prepared", nil, 0.5, 0.3},
	{"naive", []string{"-naive"}, 1, 0.3},
}

func TestStrategies_LoseNothing(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		name     string
		strategy func() *v1alpha1.Strategy
	}{
		{"blue-green", world.BlueGreen},
		{"canary", func() *v1alpha1.Strategy { return world.Canary("3s", "3s") }},
		{"rolling", func() *v1alpha1.Strategy { return nil }},
	} {
		for _, f := range forms {
			t.Run(s.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				w := world.New(t)
				w.Deploy(f.args...)
				before := w.Theirs()
				w.Adopt(s.strategy())
				w.SameAs(before)
				// The first after adoption; one with pods that drain from birth; one back to a ReplicaSet that still stands.
				for i, version := range []string{"2.0.0", "3.0.0", "2.0.0"} {
					roll := func() {
						w.Set(version)
						w.Rests(version+" is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == int64(i+2) && r.Status.Candidate == nil })
					}
					w.Writes.Store(0)
					counted := w.UnderLoad(f.fresh, f.post, roll)
					t.Logf("%d writes of the controller", w.Writes.Load())
					w.NothingLost(counted)
					if counted.Versions[version] == 0 {
						t.Errorf("no request was answered by %s: %v", version, counted.Versions)
					}
					w.SameAs(before)
				}
			})
		}
	}
}

func TestNatively_TheNaiveServiceLosesRequests(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy("-naive")
	counted := w.UnderLoad(1, 0.3, func() {
		w.Set("2.0.0")
		w.Eventually("natively rolled", 2*time.Minute, func() error {
			d := w.Deployment()
			if d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < 3 || d.Status.Replicas > 3 || d.Status.AvailableReplicas < 3 {
				return fmt.Errorf("%+v", d.Status)
			}
			return nil
		})
		time.Sleep(2 * time.Second)
	})
	t.Logf("plain Kubernetes, for comparison: %d of %d lost", counted.Lost, counted.Requests)
}

func TestAbort_GivesStableItsTrafficAndItsTemplate(t *testing.T) {
	t.Parallel()
	for _, s := range []*v1alpha1.Strategy{world.Canary("manual"), {BlueGreen: &v1alpha1.BlueGreen{HoldBack: duration(time.Hour)}}} {
		name := "canary at its step, with room for the surge only"
		if s.BlueGreen != nil {
			name = "blue-green in its hold-back"
		}
		t.Run(name, func(t *testing.T) {
			w := world.New(t)
			w.Deploy()
			if s.Canary != nil {
				// Pods that drain by themselves, so that no more than the surge is needed from the first revision on.
				w.PatchDeployment(`[{"op":"add","path":"/spec/template/spec/containers/0/lifecycle","value":{"preStop":{"sleep":{"seconds":5}}}}]`)
				w.Available(3)
				world.Check(t, w.Create(w.Context(), &corev1.ResourceQuota{
					ObjectMeta: metav1.ObjectMeta{Name: "pods", Namespace: w.Namespace},
					Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("4")}},
				}))
			}
			before := w.Theirs()
			w.Adopt(s)
			template := w.Deployment().Spec.Template
			counted := w.UnderLoad(0.5, 0.3, func() {
				w.Set("2.0.0")
				w.Until("the candidate has traffic", func(r *v1alpha1.Rollout) bool {
					return r.Status.Reason == rollout.ReasonAwaitingPromote || r.Status.Reason == rollout.ReasonHoldingBack
				})
				time.Sleep(time.Second)
				waits := exec.CommandContext(w.Context(), "kubectl", "-n", w.Namespace, "rollout", "status", "deploy/"+world.Demo, "--timeout=2m")
				told := make(chan string, 1)
				go func() {
					out, err := waits.CombinedOutput()
					told <- fmt.Sprintf("%v: %s", err, out)
				}()
				time.Sleep(time.Second)
				w.Order(rollout.Abort)
				w.Rests("stable again", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
				if text := <-told; s.Canary != nil && !strings.Contains(text, "progress deadline") {
					t.Errorf("kubectl rollout status ended with %s", text)
				}
			})
			w.NothingLost(counted)
			w.SameAs(before)
			if got := w.Deployment().Spec.Template; fmt.Sprint(got.Spec.Containers[0].Args) != fmt.Sprint(template.Spec.Containers[0].Args) {
				t.Errorf("the template asks for %v", got.Spec.Containers[0].Args)
			}
			w.Set("2.0.0")
			w.Until("the refused template is held", func(r *v1alpha1.Rollout) bool { return r.Status.Phase == string(rollout.Held) })
			w.Set("3.0.0")
			if s.Canary != nil {
				w.Until("another version starts over", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
				w.Order(rollout.Promote)
				w.Rests("3.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Candidate == nil && r.Status.Rejected == "" })
				w.SameAs(before)
			}
		})
	}
}

func TestScale_IsFollowedDuringARollout(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	w.Adopt(world.Canary("manual"))
	counted := w.UnderLoad(0.5, 0.3, func() {
		w.Set("2.0.0")
		stands := func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote }
		w.Until("the step stands", stands)
		for _, n := range []int{6, 2} {
			w.ScaleTo(n)
			w.Eventually(fmt.Sprintf("%d replicas", n), time.Minute, func() error {
				var sets appsv1.ReplicaSetList
				if err := w.List(w.Context(), &sets, client.InNamespace(w.Namespace)); err != nil {
					return err
				}
				total, ready, active := int32(0), int32(0), 0
				for _, rs := range sets.Items {
					total, ready = total+*rs.Spec.Replicas, ready+rs.Status.ReadyReplicas
					if *rs.Spec.Replicas > 0 {
						active++
					}
				}
				if ready != total || int(total) < n || int(total) > n+3 || active != 2 {
					return fmt.Errorf("%d of %d ready in %d ReplicaSets", ready, total, active)
				}
				return nil
			})
			w.Until("the step stands again", stands)
		}
		w.Order(rollout.Promote)
		w.Rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Candidate == nil })
	})
	w.NothingLost(counted)
	if n := *w.Deployment().Spec.Replicas; n != 2 {
		t.Errorf("%d replicas are asked for, not the user's 2", n)
	}
}
