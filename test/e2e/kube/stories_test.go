package kube_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

func intOrString(n int) intstr.IntOrString { return intstr.FromInt32(int32(n)) }

func blueGreen() *v1alpha1.Strategy { return &v1alpha1.Strategy{BlueGreen: &v1alpha1.BlueGreen{}} }

func canary(pauses ...string) *v1alpha1.Strategy {
	c := &v1alpha1.Canary{}
	for i, p := range pauses {
		c.Steps = append(c.Steps, v1alpha1.Step{Weight: new(int32(100 * (i + 1) / (len(pauses) + 1))), Pause: p})
	}
	return &v1alpha1.Strategy{Canary: c}
}

// forms of the service, and how much of the load is on new connections: what a naive service loses on kept-alive ones cannot be saved
// by a Service.
var forms = []struct {
	name        string
	args        []string
	fresh, post float64
}{
	{"prepared", nil, 0.5, 0.3},
	{"naive", []string{"-naive"}, 1, 0.3},
}

func TestStrategies_LoseNothing(t *testing.T) {
	for _, s := range []struct {
		name     string
		strategy func() *v1alpha1.Strategy
	}{
		{"blue-green", blueGreen},
		{"canary", func() *v1alpha1.Strategy { return canary("3s", "3s") }},
		{"rolling", func() *v1alpha1.Strategy { return nil }},
	} {
		for _, f := range forms {
			t.Run(s.name+"/"+f.name, func(t *testing.T) {
				w := newWorld(t)
				w.deploy(f.args...)
				before := w.theirs()
				w.adopt(s.strategy())
				w.sameAs(before)
				// The first after adoption; one with pods that drain from birth; one back to a ReplicaSet that still stands.
				for i, version := range []string{"2.0.0", "3.0.0", "2.0.0"} {
					roll := func() {
						w.set(version)
						w.rests(version+" is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == int64(i+2) && r.Status.Candidate == nil })
					}
					w.writes.Store(0)
					counted := w.underLoad(f.fresh, f.post, roll)
					t.Logf("%d writes of the controller", w.writes.Load())
					w.nothingLost(counted)
					if counted.Versions[version] == 0 {
						t.Errorf("no request was answered by %s: %v", version, counted.Versions)
					}
					w.sameAs(before)
				}
			})
		}
	}
}

func TestNatively_TheNaiveServiceLosesRequests(t *testing.T) {
	w := newWorld(t)
	w.deploy("-naive")
	counted := w.underLoad(1, 0.3, func() {
		w.set("2.0.0")
		w.eventually("natively rolled", 2*time.Minute, func() error {
			d := w.deployment()
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
	for _, s := range []*v1alpha1.Strategy{canary("manual"), {BlueGreen: &v1alpha1.BlueGreen{HoldBack: duration(time.Hour)}}} {
		name := "canary at its step"
		if s.BlueGreen != nil {
			name = "blue-green in its hold-back"
		}
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deploy()
			before := w.theirs()
			w.adopt(s)
			template := w.deployment().Spec.Template
			counted := w.underLoad(0.5, 0.3, func() {
				w.set("2.0.0")
				w.until("the candidate has traffic", func(r *v1alpha1.Rollout) bool {
					return r.Status.Reason == rollout.ReasonAwaitingPromote || r.Status.Reason == rollout.ReasonHoldingBack
				})
				time.Sleep(time.Second)
				waits := exec.CommandContext(w.Context(), "kubectl", "-n", w.namespace, "rollout", "status", "deploy/"+demo, "--timeout=2m")
				told := make(chan string, 1)
				go func() {
					out, err := waits.CombinedOutput()
					told <- fmt.Sprintf("%v: %s", err, out)
				}()
				time.Sleep(time.Second)
				w.order(rollout.Abort)
				w.rests("stable again", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
				if text := <-told; s.Canary != nil && !strings.Contains(text, "progress deadline") {
					t.Errorf("kubectl rollout status ended with %s", text)
				}
			})
			w.nothingLost(counted)
			w.sameAs(before)
			if got := w.deployment().Spec.Template; fmt.Sprint(got.Spec.Containers[0].Args) != fmt.Sprint(template.Spec.Containers[0].Args) {
				t.Errorf("the template asks for %v", got.Spec.Containers[0].Args)
			}
			w.set("2.0.0")
			w.until("the refused template is held", func(r *v1alpha1.Rollout) bool { return r.Status.Phase == string(rollout.Held) })
			w.set("3.0.0")
			if s.Canary != nil {
				w.until("another version starts over", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
				w.order(rollout.Promote)
				w.rests("3.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Candidate == nil && r.Status.Rejected == "" })
				w.sameAs(before)
			}
		})
	}
}

func TestScale_IsFollowedDuringARollout(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	w.adopt(canary("manual"))
	counted := w.underLoad(0.5, 0.3, func() {
		w.set("2.0.0")
		stands := func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote }
		w.until("the step stands", stands)
		for _, n := range []int{6, 2} {
			w.scaleTo(n)
			w.eventually(fmt.Sprintf("%d replicas", n), time.Minute, func() error {
				var sets appsv1.ReplicaSetList
				if err := w.List(w.Context(), &sets, client.InNamespace(w.namespace)); err != nil {
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
			w.until("the step stands again", stands)
		}
		w.order(rollout.Promote)
		w.rests("2.0.0 is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Candidate == nil })
	})
	w.nothingLost(counted)
	if n := *w.deployment().Spec.Replicas; n != 2 {
		t.Errorf("%d replicas are asked for, not the user's 2", n)
	}
}
