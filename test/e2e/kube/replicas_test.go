package kube_test

import (
	"fmt"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

func TestReplicas_OneIsEnough(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*v1alpha1.Strategy{"blue-green": world.BlueGreen(), "canary": world.Canary("1s")} {
		t.Run(name, func(t *testing.T) {
			w := world.New(t)
			w.Deploy()
			w.ScaleTo(1)
			w.Available(1)
			w.Adopt(s)
			before := w.Theirs()
			counted := w.UnderLoad(0.5, 0.3, func() {
				w.Set("2.0.0")
				w.Rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 2 && r.Status.Candidate == nil })
			})
			w.NothingLost(counted)
			w.SameAs(before)
		})
	}
}

func TestReplicas_FromNothingTheNewVersionWakes(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	w.Adopt(world.Canary("manual"))
	w.ScaleTo(0)
	w.Available(0)
	w.Set("2.0.0")
	w.Rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 2 && r.Status.Candidate == nil })
	w.ScaleTo(3)
	w.Available(3)
	if hash := w.Rollout().Status.Stable.Hash; hash == "" {
		t.Error("no stable version")
	}
}

func TestAbort_ScalingAfterItWakesStableOnly(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	w.Adopt(world.Canary("manual"))
	w.Set("2.0.0")
	w.Until("the step stands", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
	w.Order(rollout.Abort)
	w.Rests("stable again", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
	w.Set("2.0.0")
	w.Until("the refused template is held", func(r *v1alpha1.Rollout) bool { return r.Status.Phase == string(rollout.Held) })
	for _, n := range []int{0, 3} {
		w.ScaleTo(n)
		stable := w.Rollout().Status.Stable.Hash
		w.Eventually(fmt.Sprintf("stable has %d pods", n), time.Minute, func() error {
			var sets appsv1.ReplicaSetList
			if err := w.List(w.Context(), &sets, client.InNamespace(w.Namespace)); err != nil {
				return err
			}
			for _, rs := range sets.Items {
				want := int32(0)
				if rs.Labels["pod-template-hash"] == stable {
					want = int32(n)
				}
				if *rs.Spec.Replicas != want || rs.Status.ReadyReplicas != want {
					return fmt.Errorf("%s has %d of %d", rs.Name, rs.Status.ReadyReplicas, *rs.Spec.Replicas)
				}
			}
			return nil
		})
	}
}
