package kube_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/cli/adopt"
	"gapless.dev/gapless/internal/cli/eject"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/rollout"
)

// run is a command line of gapless.
func (w *world) run(command func(*shell.Shell) *cobra.Command, args ...string) (string, error) {
	var out, said bytes.Buffer
	cmd := command(&shell.Shell{In: &bytes.Buffer{}, Out: &out, Err: &said, Getenv: os.Getenv})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append(args, "-n", w.namespace))
	err := cmd.ExecuteContext(w.Context())
	return out.String() + said.String(), err
}

func (w *world) podNames() []string {
	w.Helper()
	var pods corev1.PodList
	check(w.T, w.List(w.Context(), &pods, client.InNamespace(w.namespace)))
	var names []string
	for _, p := range pods.Items {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

func TestAdoptAndEject_TouchNoPod(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	before, pods := w.theirs(), w.podNames()
	counted := w.underLoad(0.5, 0.3, func() {
		out, err := w.run(adopt.New, "deploy/"+demo, "--strategy", "canary", "--yes")
		if err != nil {
			t.Fatal(err, out)
		}
		t.Log(out)
		w.rests("adopted", func(r *v1alpha1.Rollout) bool { return r.Status.Adopted != nil })
		if out, err = w.run(eject.New, demo, "--timeout", "1m"); err != nil {
			t.Fatal(err, out)
		}
	})
	w.nothingLost(counted)
	w.sameAs(before)
	if now := w.podNames(); !slices.Equal(pods, now) {
		t.Errorf("pods were %v and are %v", pods, now)
	}
	if labels := w.deployment().Labels; len(labels) > 0 {
		t.Errorf("labels are left: %v", labels)
	}
}

func TestEject_MidwayGoesBackToStableFirst(t *testing.T) {
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
			w := newWorld(t)
			w.deploy()
			before := w.theirs()
			w.adopt(canary("manual"))
			counted := w.underLoad(0.5, 0.3, func() {
				w.set("2.0.0")
				w.until("the step stands", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
				if !tt.controller {
					w.halt()
				}
				if !tt.rollout {
					r := w.rollout()
					r.Finalizers = nil
					check(t, w.Update(w.Context(), r))
					check(t, w.Delete(w.Context(), r))
					time.Sleep(2 * time.Second)
				}
				if out, err := w.run(eject.New, append([]string{demo, "--timeout", "2m"}, tt.args...)...); err != nil {
					t.Fatal(err, out)
				}
				w.eventually("Kubernetes has three pods of one version", time.Minute, func() error {
					d := w.deployment()
					if d.Status.ObservedGeneration < d.Generation || d.Status.Replicas != 3 || d.Status.UpdatedReplicas != 3 || d.Status.AvailableReplicas != 3 {
						return fmt.Errorf("%+v", d.Status)
					}
					return nil
				})
			})
			w.nothingLost(counted)
			if got := w.deployment().Spec.Template.Spec.Containers[0].Args[1]; tt.rollout && got != "1.0.0" {
				t.Errorf("the template asks for %s", got)
			}
			if tt.rollout {
				w.sameAs(before)
			}
			if labels := w.deployment().Labels; len(labels) > 0 {
				t.Errorf("labels are left: %v", labels)
			}
		})
	}
}

func TestController_IsStoppedMidwayAndGoesOn(t *testing.T) {
	for _, s := range []*v1alpha1.Strategy{canary("2s", "2s"), blueGreen()} {
		name := "canary"
		if s.BlueGreen != nil {
			name = "blue-green"
		}
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deploy()
			before := w.theirs()
			w.adopt(s)
			counted := w.underLoad(0.5, 0.3, func() {
				w.set("2.0.0")
				seen := map[string]bool{}
				for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
					r := w.rollout()
					at := r.Status.Phase + " " + r.Status.Step
					if r.Status.Phase == string(rollout.Idle) && len(seen) > 0 {
						break
					}
					if r.Status.Phase != string(rollout.Idle) && !seen[at] { // once a phase and step
						seen[at] = true
						t.Log("stopped in", at)
						w.halt()
						time.Sleep(2 * time.Second)
						w.start()
					}
					time.Sleep(100 * time.Millisecond)
				}
				w.rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 2 && r.Status.Candidate == nil })
			})
			w.nothingLost(counted)
			w.sameAs(before)
		})
	}
}

func TestController_DiesWithEachOfItsWrites(t *testing.T) {
	for _, s := range []*v1alpha1.Strategy{canary("1s"), blueGreen()} {
		name := "canary"
		if s.BlueGreen != nil {
			name = "blue-green"
		}
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deploy()
			before := w.theirs()
			w.adopt(s)
			deaths := 0
			counted := w.underLoad(0.5, 0.3, func() {
				w.writes.Store(0)
				w.diesAfter.Store(true)
				w.set("2.0.0")
				for end := time.Now().Add(6 * time.Minute); time.Now().Before(end); {
					select {
					case <-w.stopped:
						deaths++
						// The first try of each write is lost on every third life.
						w.diesBefore.Store(deaths%3 == 0)
						w.start()
					case <-time.After(100 * time.Millisecond):
					}
					r := w.rollout()
					if r.Status.Revision == 2 && r.Status.Phase == string(rollout.Idle) && r.Status.Kept == nil && len(r.Finalizers) == 0 {
						break
					}
				}
				w.diesAfter.Store(false)
				w.diesBefore.Store(false)
				select {
				case <-w.stopped:
					w.start()
				default:
				}
				w.rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 2 && r.Status.Candidate == nil })
			})
			t.Logf("the controller died %d times", deaths)
			w.nothingLost(counted)
			w.sameAs(before)
		})
	}
}
