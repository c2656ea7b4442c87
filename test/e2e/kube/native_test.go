package kube_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/rollout"
)

// TestKubectl_AtRestItsVerbsWork: undo and restart change the template, so they begin a rollout of the chosen strategy; history and status
// tell the truth.
func TestKubectl_AtRestItsVerbsWork(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy("-naive")
	before := w.Theirs()
	w.Adopt(world.BlueGreen())
	rolled(w, "2.0.0")
	counted := w.UnderLoad(1, 0.3, func() {
		w.MustKubectl("rollout", "undo", "deploy/"+world.Demo)
		w.MustKubectl("rollout", "status", "deploy/"+world.Demo, "--timeout=90s")
		(&journey{World: w}).end("1.0.0")
		if r := w.Rollout(); r.Status.Revision != 3 {
			t.Errorf("an undo is revision %d", r.Status.Revision)
		}
		w.SameAs(before)
		w.MustKubectl("rollout", "restart", "deploy/"+world.Demo)
		w.Rests("restarted", func(r *v1alpha1.Rollout) bool { return r.Status.Revision == 4 && r.Status.Candidate == nil })
	})
	w.NothingLost(counted)
	if out := w.MustKubectl("rollout", "history", "deploy/"+world.Demo); strings.Count(out, "\n") < 4 {
		t.Errorf("history: %s", out)
	}
}

// TestDeployment_MadeAnew: nothing guards a deletion. What comes after is adopted as it stands.
func TestDeployment_MadeAnew(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	w.Adopt(world.BlueGreen())
	rolled(w, "2.0.0")
	next := mine(w, "2.0.0")
	next.ResourceVersion = ""
	counted := w.UnderLoad(0.5, 0.3, func() {
		w.MustKubectl("delete", "deploy/"+world.Demo, "--cascade=orphan")
		world.Check(t, w.Create(w.Context(), next))
		w.Until("it is adopted anew", func(r *v1alpha1.Rollout) bool {
			return r.Status.Adopted != nil && r.Status.Adopted.UID == string(w.Deployment().UID) && r.Status.Phase == string(rollout.Idle)
		})
		rolled(w, "3.0.0")
	})
	w.NothingLost(counted)
	if r := w.Rollout(); r.Status.Revision < 3 {
		t.Errorf("revisions begin anew: %d", r.Status.Revision)
	}

	// And by force: pods and all are gone for a while, and the new ones get the traffic.
	w.MustKubectl("delete", "deploy/"+world.Demo)
	next = next.DeepCopy()
	next.ResourceVersion, next.Spec.Template.Spec.Containers[0].Args[1] = "", "4.0.0"
	world.Check(t, w.Create(w.Context(), next))
	(&journey{World: w}).end("4.0.0")
	w.UnderLoad(1, 0, func() {}) // which waits for a first second without loss
	if h := w.Service().Spec.Selector["pod-template-hash"]; h != "" {
		t.Errorf("the Service is pinned to %s", h)
	}
}

// TestDeadlines_AreTheUsers: minReadySeconds is waited for, and progressDeadlineSeconds ends what does not progress.
func TestDeadlines_AreTheUsers(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	w.PatchDeployment(`[{"op":"add","path":"/spec/minReadySeconds","value":6},{"op":"add","path":"/spec/progressDeadlineSeconds","value":12}]`)
	w.Adopt(world.BlueGreen())
	ready := time.Time{}
	w.Set("2.0.0")
	w.Eventually("all of the candidate's pods are ready", time.Minute, func() error {
		r := w.Rollout()
		if r.Status.Candidate == nil {
			return fmt.Errorf("no candidate")
		}
		var sets appsv1.ReplicaSetList
		world.Check(t, w.List(w.Context(), &sets, client.InNamespace(w.Namespace), client.MatchingLabels{"pod-template-hash": r.Status.Candidate.Hash}))
		for _, rs := range sets.Items {
			if rs.Status.ReadyReplicas == 3 {
				ready = time.Now()
				return nil
			}
		}
		return fmt.Errorf("not yet")
	})
	w.Until("it is given traffic", func(r *v1alpha1.Rollout) bool { return r.Status.Phase != string(rollout.Preparing) })
	if waited := time.Since(ready); waited < 4*time.Second {
		t.Errorf("it was given traffic %s after it was ready, and minReadySeconds is 6", waited)
	}
	(&journey{World: w}).end("2.0.0")

	began := time.Now()
	w.PatchDeployment(`[{"op":"replace","path":"/spec/template/spec/containers/0/args","value":["-version","3.0.0","-fail","never-ready"]}]`)
	w.Rests("taken back", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
	if took := time.Since(began); took < 12*time.Second {
		t.Errorf("it was taken back after %s, and progressDeadlineSeconds is 12", took)
	}
	w.Condition(world.Demo, v1alpha1.ConditionAborted, metav1.ConditionTrue, rollout.ReasonDeadlineExceeded)
}

// TestHistory_OfNone: without a history Kubernetes deletes the old ReplicaSet as soon as it has no pods, also in the middle.
func TestHistory_OfNone(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	w.PatchDeployment(`[{"op":"add","path":"/spec/revisionHistoryLimit","value":0}]`)
	before := w.Theirs()
	w.Adopt(world.Canary("2s"))
	counted := w.UnderLoad(0.5, 0.3, func() {
		rolled(w, "2.0.0")
		// There is nothing to go back to, and that is said at once.
		w.Order(rollout.Undo)
		w.Eventually("the order is answered", 20*time.Second, func() error {
			e, err := kube.EvidenceOf(w.Context(), w.Client, client.ObjectKey{Namespace: w.Namespace, Name: world.Demo})
			if err != nil {
				return err
			}
			for _, a := range e.Answers {
				if a.Verb == rollout.Undo && !a.Obeyed && strings.Contains(a.Message, "nothing is left") {
					return nil
				}
			}
			return fmt.Errorf("answers %+v", e.Answers)
		})
		rolled(w, "3.0.0")
	})
	w.NothingLost(counted)
	w.SameAs(before)
}

// TestController_TwoShareALease: one drives, the other stands by, and takes over when the first has stopped.
func TestController_TwoShareALease(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	w.Adopt(world.Canary("manual"))
	first := w.Stop
	stopped := w.Stopped
	w.Start() // another one, as `gapless controller --kubeconfig` outside of the cluster is
	w.Set("2.0.0")
	stands := func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote }
	w.Until("the step stands", stands)
	holder := leader(w)
	first()
	<-stopped
	w.Eventually("the other leads", 20*time.Second, func() error {
		if now := leader(w); now == holder || now == "" {
			return fmt.Errorf("%q leads", now)
		}
		return nil
	})
	w.Order(rollout.Promote)
	(&journey{World: w}).end("2.0.0")
}

func leader(w *world.World) string {
	w.Helper()
	out, err := exec.CommandContext(w.Context(), "kubectl", "-n", w.Namespace, "get", "lease", "gapless-controller", "-o", "jsonpath={.spec.holderIdentity}").Output()
	world.Check(w.T, err)
	return string(out)
}

// TestEvents_SayWhatHappened on the Rollout.
func TestEvents_SayWhatHappened(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	w.Adopt(world.BlueGreen())
	rolled(w, "2.0.0")
	w.Set("3.0.0")
	w.Until("it has traffic", func(r *v1alpha1.Rollout) bool { return r.Status.Phase == string(rollout.Finishing) })
	w.Order(rollout.Abort)
	w.Rests("stable again", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
	w.Eventually("the events tell it", 20*time.Second, func() error {
		out, err := w.Kubectl("get", "events", "--field-selector", "involvedObject.kind=Rollout", "-o", `jsonpath={range .items[*]}{.type} {.reason}: {.message}{"\n"}{end}`)
		if err != nil {
			return err
		}
		for _, want := range []string{"Normal", "Warning", "back from"} {
			if !strings.Contains(out, want) {
				return fmt.Errorf("no %s in:\n%s", want, out)
			}
		}
		t.Log("\n" + out)
		return nil
	})
}
