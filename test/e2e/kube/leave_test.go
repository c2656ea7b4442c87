package kube_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/cli/adopt"
	"gapless.dev/gapless/internal/cli/eject"
	"gapless.dev/gapless/internal/rollout"
)

func TestAdoptAndEject_TouchNoPod(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	before, pods := w.Theirs(), w.PodNames()
	counted := w.UnderLoad(0.5, 0.3, func() {
		out, err := w.Gapless(adopt.New, "deploy/"+world.Demo, "--strategy", "canary", "--yes")
		if err != nil {
			t.Fatal(err, out)
		}
		t.Log(out)
		w.Rests("adopted", func(r *v1alpha1.Rollout) bool { return r.Status.Adopted != nil })
		if out, err = w.Gapless(eject.New, world.Demo, "--timeout", "1m"); err != nil {
			t.Fatal(err, out)
		}
	})
	w.NothingLost(counted)
	w.SameAs(before)
	if now := w.PodNames(); !slices.Equal(pods, now) {
		t.Errorf("pods were %v and are %v", pods, now)
	}
	if labels := w.Deployment().Labels; len(labels) > 0 {
		t.Errorf("labels are left: %v", labels)
	}
}

func TestEject_MidwayGoesBackToStableFirst(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		controller bool
		rollout    bool
		args       []string
	}{
		{"with a controller", true, true, nil},
		{"by force without one", false, true, []string{"--force"}},
		{"by force when the Rollout is gone too", false, false, []string{"--force"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := world.New(t)
			w.Deploy()
			before := w.Theirs()
			w.Adopt(world.Canary("manual"))
			counted := w.UnderLoad(0.5, 0.3, func() {
				w.Set("2.0.0")
				w.Until("the step stands", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
				if !tt.controller {
					w.Halt()
				}
				if !tt.rollout {
					r := w.Rollout()
					r.Finalizers = nil
					world.Check(t, w.Update(w.Context(), r))
					world.Check(t, w.Delete(w.Context(), r))
					time.Sleep(2 * time.Second)
				}
				if out, err := w.Gapless(eject.New, append([]string{world.Demo, "--timeout", "2m"}, tt.args...)...); err != nil {
					t.Fatal(err, out)
				}
				w.Eventually("Kubernetes has three pods of one version", time.Minute, func() error {
					d := w.Deployment()
					if d.Status.ObservedGeneration < d.Generation || d.Status.Replicas != 3 || d.Status.UpdatedReplicas != 3 || d.Status.AvailableReplicas != 3 {
						return fmt.Errorf("%+v", d.Status)
					}
					return nil
				})
			})
			w.NothingLost(counted)
			if got := w.Deployment().Spec.Template.Spec.Containers[0].Args[1]; tt.rollout && got != "1.0.0" {
				t.Errorf("the template asks for %s", got)
			}
			if tt.rollout {
				w.SameAs(before)
			}
			if labels := w.Deployment().Labels; len(labels) > 0 {
				t.Errorf("labels are left: %v", labels)
			}
		})
	}
}

func TestController_IsStoppedMidwayAndGoesOn(t *testing.T) {
	t.Parallel()
	for _, s := range []*v1alpha1.Strategy{world.Canary("2s", "2s"), world.BlueGreen()} {
		name := "canary"
		if s.BlueGreen != nil {
			name = "blue-green"
		}
		t.Run(name, func(t *testing.T) {
			w := world.New(t)
			w.Deploy()
			before := w.Theirs()
			w.Adopt(s)
			counted := w.UnderLoad(0.5, 0.3, func() {
				w.Set("2.0.0")
				seen := map[string]bool{}
				for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
					r := w.Rollout()
					at := r.Status.Phase + " " + r.Status.Step
					if r.Status.Phase == string(rollout.Idle) && len(seen) > 0 {
						break
					}
					if r.Status.Phase != string(rollout.Idle) && !seen[at] { // once a phase and step
						seen[at] = true
						t.Log("stopped in", at)
						w.Halt()
						time.Sleep(2 * time.Second)
						w.Start()
					}
					time.Sleep(100 * time.Millisecond)
				}
				w.Rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 2 && r.Status.Candidate == nil })
			})
			w.NothingLost(counted)
			w.SameAs(before)
		})
	}
}

func TestController_DiesWithEachOfItsWrites(t *testing.T) {
	if !soak {
		t.Skip("in a soak: twelve minutes")
	}
	t.Parallel()
	for _, s := range []*v1alpha1.Strategy{world.Canary("1s"), world.BlueGreen()} {
		name := "canary"
		if s.BlueGreen != nil {
			name = "blue-green"
		}
		t.Run(name, func(t *testing.T) {
			w := world.New(t)
			w.Deploy()
			before := w.Theirs()
			w.Adopt(s)
			deaths := 0
			counted := w.UnderLoad(0.5, 0.3, func() {
				w.Writes.Store(0)
				w.DiesAfter.Store(true)
				w.Set("2.0.0")
				for end := time.Now().Add(6 * time.Minute); time.Now().Before(end); {
					select {
					case <-w.Stopped:
						deaths++
						// The first try of each write is lost on every third life.
						w.DiesBefore.Store(deaths%3 == 0)
						w.Start()
					case <-time.After(100 * time.Millisecond):
					}
					r := w.Rollout()
					if r.Status.Revision == 2 && r.Status.Phase == string(rollout.Idle) && r.Status.Kept == nil && len(r.Finalizers) == 0 {
						break
					}
				}
				w.DiesAfter.Store(false)
				w.DiesBefore.Store(false)
				select {
				case <-w.Stopped:
					w.Start()
				default:
				}
				w.Rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 2 && r.Status.Candidate == nil })
			})
			t.Logf("the controller died %d times", deaths)
			w.NothingLost(counted)
			w.SameAs(before)
		})
	}
}
