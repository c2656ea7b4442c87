package scenes

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
)

// A moment is a Deployment with its ReplicaSets, as test/others asks other tools about it.
type moment struct {
	What        string              `json:"what"`
	Deployment  appsv1.Deployment   `json:"deployment"`
	ReplicaSets []appsv1.ReplicaSet `json:"replicaSets"`
}

// moments takes the Deployment in each phase of a canary, and sees that the moments kept for test/others still are what a cluster shows.
// With MOMENTS set it writes them instead.
func moments(t *testing.T) {
	w := world.Bare(t)
	w.Deploy()
	n := 0
	take := func(what string) {
		t.Helper()
		n++
		file := filepath.Join("../../others/testdata", fmt.Sprintf("%02d.json", n))
		now := momentOf(w, what)
		if os.Getenv("MOMENTS") != "" {
			text, err := json.MarshalIndent(now, "", "  ")
			world.Check(t, err)
			world.Check(t, os.MkdirAll(filepath.Dir(file), 0o755))
			world.Check(t, os.WriteFile(file, append(text, '\n'), 0o644))
			return
		}
		text, err := os.ReadFile(file)
		world.Check(t, err)
		var kept moment
		world.Check(t, json.Unmarshal(text, &kept))
		if d := cmp.Diff(essence(kept), essence(now)); d != "" {
			t.Errorf("%s is not what test/others goes by; MOMENTS=1 takes it anew (-kept +now):\n%s", what, d)
		}
	}
	reason := func(reasons ...string) func(*v1alpha1.Rollout) bool {
		return func(r *v1alpha1.Rollout) bool {
			for _, one := range reasons {
				if r.Status.Reason == one {
					return true
				}
			}
			return false
		}
	}
	w.Available(3)
	take("before adoption")
	w.Adopt(world.Canary("manual"))
	take("adopted, at rest")
	// So long that a controller which dies meanwhile is seen to have a successor.
	w.PatchDeployment(`[{"op":"add","path":"/spec/template/spec/containers/0/readinessProbe/initialDelaySeconds","value":25},{"op":"replace","path":"/spec/template/spec/containers/0/args/1","value":"2.0.0"}]`)
	w.Until("the candidate grows", reason(rollout.ReasonCandidateGrowing))
	take("Preparing: the candidate grows")
	w.Until("the step stands", reason(rollout.ReasonAwaitingPromote))
	take("Shifting: the step stands")
	w.Order(rollout.Promote)
	w.Until("stable drains", reason(rollout.ReasonDraining, rollout.ReasonStopping))
	take("Finishing: the old version drains")
	w.Rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Candidate == nil && r.Status.Revision == 2 })
	w.Available(3)
	take("promoted, at rest")
	w.Set("3.0.0")
	w.Until("the step stands", reason(rollout.ReasonAwaitingPromote))
	w.Order(rollout.Abort)
	w.Until("the candidate drains", reason(rollout.ReasonDraining, rollout.ReasonStopping))
	take("Aborting: stable has all traffic, the candidate drains")
	w.Rests("back at rest", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
	time.Sleep(2 * time.Second) // Kubernetes says its own word, or not
	take("taken back, at rest")
	w.Set("3.0.0")
	w.Until("held", func(r *v1alpha1.Rollout) bool { return r.Status.Phase == string(rollout.Held) })
	take("Held: the refused version was written again")
}

// essence is what tools go by.
func essence(m moment) map[string]any {
	d := m.Deployment
	conditions := map[string]string{}
	for _, c := range d.Status.Conditions {
		conditions[string(c.Type)] = string(c.Status) + " " + c.Reason
	}
	return map[string]any{
		"what": m.What, "paused": d.Spec.Paused, "strategy": d.Spec.Strategy.Type, "conditions": conditions,
		"observed": d.Status.ObservedGeneration == d.Generation,
	}
}

func momentOf(w *world.World, what string) moment {
	w.Helper()
	m := moment{What: what}
	var d *appsv1.Deployment
	w.Eventually("Kubernetes has looked at the Deployment", time.Minute, func() error {
		if d = w.Deployment(); d.Status.ObservedGeneration < d.Generation {
			return fmt.Errorf("generation %d of %d", d.Status.ObservedGeneration, d.Generation)
		}
		return nil
	})
	var sets appsv1.ReplicaSetList
	world.Check(w.T, w.List(w.Context(), &sets, client.InNamespace(w.Namespace)))
	for i := range sets.Items {
		if metav1.IsControlledBy(&sets.Items[i], d) {
			sets.Items[i].ManagedFields = nil
			m.ReplicaSets = append(m.ReplicaSets, sets.Items[i])
		}
	}
	d.ManagedFields = nil
	m.Deployment = *d
	return m
}
