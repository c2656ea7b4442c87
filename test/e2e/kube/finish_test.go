package kube_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// TestFinish_ATemplateInItsVeryMomentIsNotReleased: a third version arrives when the second is being released, just before that write or
// just after it. It must come up as any other does: held, and step by step.
func TestFinish_ATemplateInItsVeryMomentIsNotReleased(t *testing.T) {
	for _, early := range []bool{true, false} {
		name := "just after"
		if early {
			name = "just before"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world.New(t)
			w.Deploy()
			before := w.Theirs()
			w.Adopt(world.Canary("manual"))
			var came atomic.Bool
			w.Before(func(r *http.Request) {
				release := strings.HasSuffix(r.URL.Path, "/deployments/"+world.Demo) && strings.HasPrefix(r.URL.Query().Get("fieldManager"), v1alpha1.ReleaseManager)
				if early && release && came.CompareAndSwap(false, true) {
					w.Set("3.0.0")
				}
			})
			counted := w.UnderLoad(0.5, 0.3, func() {
				w.Set("2.0.0")
				w.Until("the step stands", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
				w.Order(rollout.Promote)
				if !early {
					w.Eventually("it is released", time.Minute, func() error {
						if d := w.Deployment(); d.Labels[v1alpha1.LabelHeld] != "" || d.Spec.Paused {
							return fmt.Errorf("held")
						}
						return nil
					})
					w.Set("3.0.0")
				}
				w.Until("the third version stands at its step", func(r *v1alpha1.Rollout) bool {
					return r.Status.Reason == rollout.ReasonAwaitingPromote && r.Status.Revision == 3
				})
				if n := podsAsked(w, w.Rollout().Status.Candidate.Hash); n != 2 {
					t.Errorf("the third version has %d pods at a step of 50 %%", n)
				}
				w.Order(rollout.Promote)
				(&journey{World: w}).end("3.0.0")
			})
			if early && !came.Load() {
				t.Error("the release was never seen")
			}
			w.NothingLost(counted)
			w.SameAs(before)
		})
	}
}

func podsAsked(w *world.World, hash string) int32 {
	w.Helper()
	var sets appsv1.ReplicaSetList
	world.Check(w.T, w.List(w.Context(), &sets, client.InNamespace(w.Namespace), client.MatchingLabels{"pod-template-hash": hash}))
	for _, rs := range sets.Items {
		return *rs.Spec.Replicas
	}
	return 0
}
