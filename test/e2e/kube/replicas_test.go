package kube_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// available waits until the Deployment has n pods of its template's version, and no others.
func (w *world) available(n int32) {
	w.Helper()
	w.eventually(fmt.Sprintf("%d pods of one version", n), 2*time.Minute, func() error {
		d := w.deployment()
		if s := d.Status; s.ObservedGeneration < d.Generation || s.Replicas != n || s.UpdatedReplicas != n || s.AvailableReplicas != n {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

func TestReplicas_OneIsEnough(t *testing.T) {
	for name, s := range map[string]*v1alpha1.Strategy{"blue-green": blueGreen(), "canary": canary("1s")} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deploy()
			w.scaleTo(1)
			w.available(1)
			w.adopt(s)
			before := w.theirs()
			counted := w.underLoad(0.5, 0.3, func() {
				w.set("2.0.0")
				w.rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 2 && r.Status.Candidate == nil })
			})
			w.nothingLost(counted)
			w.sameAs(before)
		})
	}
}

func TestReplicas_FromNothingTheNewVersionWakes(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	w.adopt(canary("manual"))
	w.scaleTo(0)
	w.available(0)
	w.set("2.0.0")
	w.rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 2 && r.Status.Candidate == nil })
	w.scaleTo(3)
	w.available(3)
	if hash := w.rollout().Status.Stable.Hash; hash == "" {
		t.Error("no stable version")
	}
}

func TestAbort_ScalingAfterItWakesStableOnly(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	w.adopt(canary("manual"))
	w.set("2.0.0")
	w.until("the step stands", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
	w.order(rollout.Abort)
	w.rests("stable again", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
	w.set("2.0.0")
	w.until("the refused template is held", func(r *v1alpha1.Rollout) bool { return r.Status.Phase == string(rollout.Held) })
	for _, n := range []int{0, 3} {
		w.scaleTo(n)
		stable := w.rollout().Status.Stable.Hash
		w.eventually(fmt.Sprintf("stable has %d pods", n), time.Minute, func() error {
			var sets appsv1.ReplicaSetList
			if err := w.List(w.Context(), &sets, client.InNamespace(w.namespace)); err != nil {
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
