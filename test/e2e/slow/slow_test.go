// Package slow_test tells of a data plane that is slow to hear of anything: nodes write their rules every 10 s, and slices are computed 5 s
// after pods have changed. Nothing there acknowledges, so the drain has to be long enough, and is the user's to set.
package slow_test

import (
	"strings"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/rollout"
)

func TestSlow_ADrainThatIsLongEnoughLosesNothing(t *testing.T) {
	for _, tt := range []struct {
		name     string
		strategy *v1alpha1.Strategy
	}{
		{"blue-green", world.BlueGreen()}, {"canary", world.Canary("3s")}, {"rolling", &v1alpha1.Strategy{Rolling: &v1alpha1.Rolling{}}},
	} {
		for _, drain := range []time.Duration{20 * time.Second, 0} {
			name := tt.name + ", the default drain"
			if drain > 0 {
				name = tt.name + ", drain 20s"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := world.New(t)
				w.Deploy("-naive")
				w.Grace(90)
				w.Adopt(tt.strategy, func(r *v1alpha1.Rollout) {
					if drain > 0 {
						r.Spec.Drain = &metav1.Duration{Duration: drain}
					}
				})
				roll(w, "2.0.0")
				counted := w.UnderLoad(1, 0.3, func() { roll(w, "3.0.0") })
				w.Row("slow data plane", tt.name, "naive", world.ClusterIP, name[len(tt.name)+2:], counted)
				if drain > 0 {
					w.NothingLost(counted)
					return
				}
				// It may lose some, and every one of them is counted; what the report says of how sure it was is the weakest there is.
				t.Logf("with the default drain: %d of %d lost, %v", counted.Lost, counted.Requests, counted.Losses)
				if tt.name == "rolling" {
					return
				}
				e, err := kube.EvidenceOf(w.Context(), w.Client, client.ObjectKey{Namespace: w.Namespace, Name: world.Demo})
				world.Check(t, err)
				told := 0
				for _, c := range e.Reports[0].Converged {
					if c.Grade != string(rollout.Told) {
						t.Errorf("%s: grade %s", c.What, c.Grade)
					}
					if strings.HasPrefix(c.What, "route") {
						told++
					}
				}
				if told == 0 {
					t.Error("the report tells of no route that arrived")
				}
			})
		}
	}
}

func roll(w *world.World, version string) {
	w.Helper()
	w.Set(version)
	w.Rests(version+" is stable", func(r *v1alpha1.Rollout) bool {
		d := w.Deployment()
		return w.Version() == version && r.Status.Candidate == nil && d.Status.ObservedGeneration >= d.Generation &&
			d.Status.UpdatedReplicas == 3 && d.Status.Replicas == 3 && d.Status.AvailableReplicas == 3
	})
}
