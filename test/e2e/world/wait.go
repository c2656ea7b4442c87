package world

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// Rests waits until the Rollout is idle, is not in hand any more, and holds.
func (w *World) Rests(what string, holds func(*v1alpha1.Rollout) bool) {
	w.Helper()
	w.Until(what, func(r *v1alpha1.Rollout) bool {
		_, held := w.Deployment().Labels[v1alpha1.LabelHeld]
		return r.Status.Phase == string(rollout.Idle) && r.Status.Kept == nil && len(r.Finalizers) == 0 && !held && holds(r)
	})
}

func (w *World) Until(what string, holds func(*v1alpha1.Rollout) bool) {
	w.Helper()
	w.Eventually(what, 3*time.Minute, func() error {
		if r := w.Rollout(); !holds(r) {
			return fmt.Errorf("phase %s: %s: %s", r.Status.Phase, r.Status.Reason, r.Status.Message)
		}
		return nil
	})
}

// Condition waits until a Rollout has a condition.
func (w *World) Condition(name, kind string, status metav1.ConditionStatus, reason string) {
	w.Helper()
	w.Eventually(fmt.Sprintf("%s is %s %s: %s", name, kind, status, reason), time.Minute, func() error {
		r := &v1alpha1.Rollout{}
		if err := w.Get(w.Context(), types.NamespacedName{Namespace: w.Namespace, Name: name}, r); err != nil {
			return err
		}
		c := meta.FindStatusCondition(r.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("%+v", c)
		}
		return nil
	})
}

func (w *World) Eventually(what string, within time.Duration, try func() error) {
	w.Helper()
	end := time.Now().Add(within)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			w.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// Available waits until the Deployment has n pods of its template's version, and no others.
func (w *World) Available(n int32) {
	w.Helper()
	w.Eventually(fmt.Sprintf("%d pods of one version", n), 2*time.Minute, func() error {
		d := w.Deployment()
		if s := d.Status; s.ObservedGeneration < d.Generation || s.Replicas != n || s.UpdatedReplicas != n || s.AvailableReplicas != n {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}
