package kube_test

import (
	"fmt"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

func TestBudget_OnePodAtATimeWhileTwoVersionsStand(t *testing.T) {
	for _, theirs := range []bool{true, false} {
		t.Run(fmt.Sprintf("the user has one: %v", theirs), func(t *testing.T) {
			w := world.New(t)
			w.Deploy()
			one := intstr.FromInt32(1)
			b := &policyv1.PodDisruptionBudget{
				ObjectMeta: metav1.ObjectMeta{Name: "mine", Namespace: w.Namespace},
				Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": world.Demo}}},
			}
			if theirs {
				world.Check(t, w.Create(w.Context(), b))
			}
			w.Adopt(&v1alpha1.Strategy{BlueGreen: &v1alpha1.BlueGreen{Switch: "manual"}})
			counted := w.UnderLoad(0.5, 0.3, func() {
				w.Set("2.0.0")
				w.Until("the preview stands", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
				w.Eventually("the budget counts both versions", 30*time.Second, func() error {
					var all policyv1.PodDisruptionBudgetList
					world.Check(t, w.List(w.Context(), &all, client.InNamespace(w.Namespace)))
					if len(all.Items) != 1 {
						return fmt.Errorf("%d budgets", len(all.Items))
					}
					if s := all.Items[0].Status; s.CurrentHealthy != 6 || s.DisruptionsAllowed != 1 {
						return fmt.Errorf("%d healthy, %d may go", s.CurrentHealthy, s.DisruptionsAllowed)
					}
					return nil
				})
				if evicted := evictAll(w); evicted != 1 {
					t.Errorf("%d of three serving pods were evicted at once", evicted)
				}
				w.Order(rollout.Promote)
				w.Rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Candidate == nil })
			})
			w.NothingLost(counted)
			var all policyv1.PodDisruptionBudgetList
			world.Check(t, w.List(w.Context(), &all, client.InNamespace(w.Namespace)))
			switch {
			case theirs && (len(all.Items) != 1 || all.Items[0].Spec.MinAvailable != nil || *all.Items[0].Spec.MaxUnavailable != one):
				t.Errorf("not given back: %+v", all.Items)
			case !theirs && len(all.Items) > 0:
				t.Errorf("left behind: %+v", all.Items)
			}
		})
	}
}

// evictAll tries to evict every pod that serves, as a drained node would, and tells how many it got.
func evictAll(w *world.World) int {
	w.Helper()
	stable := w.Rollout().Status.Stable.Hash
	var pods corev1.PodList
	world.Check(w.T, w.List(w.Context(), &pods, client.InNamespace(w.Namespace), client.MatchingLabels{"pod-template-hash": stable}))
	n := 0
	for i := range pods.Items {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pods.Items[i].Name, Namespace: w.Namespace, UID: types.UID(pods.Items[i].UID)}}
		err := w.SubResource("eviction").Create(w.Context(), p, &policyv1.Eviction{})
		switch {
		case err == nil:
			n++
		case !apierrors.IsTooManyRequests(err):
			w.Errorf("evict %s: %v", p.Name, err)
		}
	}
	return n
}
