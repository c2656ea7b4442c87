// Package habits_test pins what Kubernetes does by itself and Gapless leans on: driving a Deployment in place works because of it. Each test
// is one habit. Where a version of Kubernetes differs, its test fails by name, and the rest of that version's stories prove nothing.
package habits_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	hash     = "pod-template-hash"
	revision = "deployment.kubernetes.io/revision"
	desired  = "deployment.kubernetes.io/desired-replicas"
	young    = "ours" // the hash of the ReplicaSet that the tests make
)

// A desk is a Deployment of three pods in a namespace without Gapless, and a second template for it.
type desk struct{ *world.World }

func newDesk(t *testing.T) *desk {
	t.Parallel()
	w := world.Bare(t)
	w.Deploy()
	return &desk{w}
}

// merge changes the Deployment, and waits until the native controller has acted on it.
func (d *desk) merge(patch string) {
	d.Helper()
	world.Check(d.T, d.Patch(d.Context(), d.Deployment(), client.RawPatch(types.MergePatchType, []byte(patch))))
	d.synced()
}

// synced makes the native controller look once more, and waits until it has.
func (d *desk) synced() {
	d.Helper()
	now := d.Deployment()
	seconds := *now.Spec.ProgressDeadlineSeconds + 1
	world.Check(d.T, d.Patch(d.Context(), now, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"progressDeadlineSeconds":%d}}`, seconds))))
	d.Eventually("the native controller has looked", 30*time.Second, func() error {
		if now := d.Deployment(); now.Status.ObservedGeneration < now.Generation {
			return fmt.Errorf("observed %d of %d", now.Status.ObservedGeneration, now.Generation)
		}
		return nil
	})
	time.Sleep(300 * time.Millisecond) // what it wrote beside the status has arrived too
}

func (d *desk) sets() []appsv1.ReplicaSet {
	d.Helper()
	var all appsv1.ReplicaSetList
	world.Check(d.T, d.List(d.Context(), &all, client.InNamespace(d.Namespace)))
	return all.Items
}

// old is the ReplicaSet that Kubernetes made, and ours the one that we made.
func (d *desk) set(ours bool) *appsv1.ReplicaSet {
	d.Helper()
	for _, rs := range d.sets() {
		if (rs.Labels[hash] == young) == ours {
			return &rs
		}
	}
	d.Fatalf("no such ReplicaSet (ours: %v)", ours)
	return nil
}

// held pauses the Deployment under a strategy and changes its template; our ReplicaSet of it stands beside with n pods.
func (d *desk) held(strategy string, n int, annotations map[string]string) {
	d.Helper()
	d.merge(fmt.Sprintf(`{"spec":{"paused":true,"strategy":{"type":%q,"rollingUpdate":null}}}`, strategy))
	d.Set("2.0.0")
	deploy := d.Deployment()
	template := deploy.Spec.Template.DeepCopy()
	template.Labels[hash] = young
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: world.Demo + "-" + young, Namespace: d.Namespace, Labels: template.Labels, Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(deploy, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(n)), Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: *template},
	}
	world.Check(d.T, d.Create(d.Context(), rs))
	d.Eventually("its pods are available", time.Minute, func() error {
		if rs := d.set(true); rs.Status.AvailableReplicas != int32(n) {
			return fmt.Errorf("%d", rs.Status.AvailableReplicas)
		}
		return nil
	})
	d.synced()
}

func (d *desk) scaleSet(ours bool, n int) {
	d.Helper()
	world.Check(d.T, d.Patch(d.Context(), d.set(ours), client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n))))
}

// asks fails unless the two ReplicaSets are asked for so many pods.
func (d *desk) asks(old, ours int32) {
	d.Helper()
	if o, y := *d.set(false).Spec.Replicas, *d.set(true).Spec.Replicas; o != old || y != ours {
		d.Errorf("the old ReplicaSet is asked for %d and ours for %d, and should be for %d and %d", o, y, old, ours)
	}
}

func TestHabit_PausedATemplateStartsNothing(t *testing.T) {
	d := newDesk(t)
	d.merge(`{"spec":{"paused":true}}`)
	d.Set("2.0.0")
	d.synced()
	if n := len(d.sets()); n != 1 {
		t.Errorf("%d ReplicaSets", n)
	}
}

func TestHabit_PausedAReplicaSetOfTheTemplateIsTakenForItsOwn(t *testing.T) {
	d := newDesk(t)
	d.held("Recreate", 0, nil)
	if r, want := d.set(true).Annotations[revision], d.Deployment().Annotations[revision]; r != "2" || want != "2" {
		t.Errorf("ours has revision %q, the Deployment %q", r, want)
	}
	if n := len(d.sets()); n != 2 {
		t.Errorf("%d ReplicaSets", n)
	}
}

func TestHabit_PausedUnderRecreateTwoVersionsAreLeftAlone(t *testing.T) {
	d := newDesk(t)
	d.held("Recreate", 1, nil)
	d.asks(3, 1)
	d.merge(`{"spec":{"replicas":5}}`) // as an autoscaler does
	d.asks(3, 1)
	d.scaleSet(true, 3)
	d.synced()
	d.asks(3, 3)
	if _, has := d.set(true).Annotations[desired]; has {
		t.Error("it was given a desired count")
	}
}

func TestHabit_ACompleteVersionWithTheDesiredCountEndsTheOther(t *testing.T) {
	d := newDesk(t)
	d.held("Recreate", 3, map[string]string{desired: "3"})
	d.asks(0, 3)
}

func TestHabit_PausedUnderRollingUpdateTwoVersionsAreScaledInProportion(t *testing.T) {
	d := newDesk(t)
	d.held("RollingUpdate", 1, nil)
	d.merge(`{"spec":{"replicas":9}}`)
	if o, y := *d.set(false).Spec.Replicas, *d.set(true).Spec.Replicas; o == 3 && y == 1 {
		t.Error("they are left alone: Recreate is not needed any more")
	}
}

func TestHabit_OneVersionIsScaledThoughPaused(t *testing.T) {
	d := newDesk(t)
	d.merge(`{"spec":{"paused":true}}`)
	d.merge(`{"spec":{"replicas":4}}`)
	rs := d.set(false)
	if *rs.Spec.Replicas != 4 || rs.Annotations[desired] != "4" {
		t.Errorf("asked for %d, %v", *rs.Spec.Replicas, rs.Annotations)
	}
}

func TestHabit_FromNothingTheTemplatesVersionWakes(t *testing.T) {
	d := newDesk(t)
	d.held("Recreate", 0, nil)
	d.merge(`{"spec":{"replicas":0}}`)
	d.asks(0, 0)
	d.merge(`{"spec":{"replicas":2}}`)
	d.asks(0, 2)
}

func TestHabit_ReleasedACompleteVersionIsNotRestarted(t *testing.T) {
	d := newDesk(t)
	d.held("Recreate", 3, nil)
	d.scaleSet(false, 0)
	d.Eventually("the old pods are gone", time.Minute, func() error {
		if rs := d.set(false); rs.Status.Replicas != 0 {
			return fmt.Errorf("%d", rs.Status.Replicas)
		}
		return nil
	})
	before := d.podsOf(young)
	d.merge(`{"spec":{"paused":null,"strategy":{"type":"RollingUpdate"}}}`)
	d.MustKubectl("rollout", "status", "deploy/"+world.Demo, "--timeout=30s")
	d.asks(0, 3)
	if now := d.podsOf(young); now != before {
		t.Errorf("pods were %s and are %s", before, now)
	}
	if n := len(d.sets()); n != 2 {
		t.Errorf("%d ReplicaSets", n)
	}
	if out := d.MustKubectl("rollout", "history", "deploy/"+world.Demo); !strings.Contains(out, "1 ") || !strings.Contains(out, "2 ") {
		t.Errorf("history: %s", out)
	}
}

func (d *desk) podsOf(h string) string {
	var pods corev1.PodList
	world.Check(d.T, d.List(d.Context(), &pods, client.InNamespace(d.Namespace), client.MatchingLabels{hash: h}))
	var names []string
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil {
			names = append(names, p.Name)
		}
	}
	return strings.Join(names, " ")
}

func TestHabit_AFailureWrittenIntoTheStatusIsKeptWhilePaused(t *testing.T) {
	d := newDesk(t)
	d.held("Recreate", 1, nil)
	deploy := d.Deployment()
	for i, c := range deploy.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing {
			deploy.Status.Conditions[i].Status, deploy.Status.Conditions[i].Reason = corev1.ConditionFalse, "ProgressDeadlineExceeded"
		}
	}
	world.Check(t, d.Status().Update(d.Context(), deploy))
	d.synced()
	d.merge(`{"spec":{"replicas":4}}`)
	if out, err := d.Kubectl("rollout", "status", "deploy/"+world.Demo, "--timeout=20s"); err == nil || !strings.Contains(out, "progress deadline") {
		t.Errorf("kubectl rollout status: %v: %s", err, out)
	}
}

func TestHabit_AnnotationsAreCopiedToTheReplicaSetAndLabelsAreNot(t *testing.T) {
	d := newDesk(t)
	d.merge(`{"metadata":{"annotations":{"example.org/note":"x"},"labels":{"example.org/mark":"y"}}}`)
	rs := d.set(false)
	if rs.Annotations["example.org/note"] != "x" {
		t.Error("an annotation is not copied")
	}
	if rs.Labels["example.org/mark"] != "" {
		t.Error("a label is copied: the mark of a held Deployment would stay on its ReplicaSets")
	}
}

func TestHabit_WithoutHistoryARetiredReplicaSetGoesThoughPaused(t *testing.T) {
	d := newDesk(t)
	d.merge(`{"spec":{"revisionHistoryLimit":0}}`)
	d.held("Recreate", 3, nil)
	d.scaleSet(false, 0)
	d.Eventually("it is gone", time.Minute, func() error {
		if n := len(d.sets()); n != 1 {
			d.synced()
			return fmt.Errorf("%d ReplicaSets", n)
		}
		return nil
	})
}

func TestHabit_PausedKubectlRefusesUndoAndRestart(t *testing.T) {
	d := newDesk(t)
	d.held("Recreate", 1, nil)
	for _, verb := range []string{"undo", "restart"} {
		if out, err := d.Kubectl("rollout", verb, "deploy/"+world.Demo); err == nil {
			t.Errorf("%s: %s", verb, out)
		}
	}
}

func TestHabit_SlicesCarryTheLabelsOfTheServiceThatTheyWereComputedFrom(t *testing.T) {
	d := newDesk(t)
	h := d.set(false).Labels[hash]
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"labels": map[string]string{"example.org/pin": h}}, "spec": map[string]any{"selector": map[string]string{hash: h}},
	})
	world.Check(t, err)
	world.Check(t, d.Patch(d.Context(), d.Service(), client.RawPatch(types.MergePatchType, patch)))
	d.Eventually("the slices have it", 10*time.Second, func() error {
		var all discoveryv1.EndpointSliceList
		if err := d.List(d.Context(), &all, client.InNamespace(d.Namespace)); err != nil {
			return err
		}
		for _, s := range all.Items {
			if s.Labels["example.org/pin"] != h || s.Labels[discoveryv1.LabelManagedBy] != "endpointslice-controller.k8s.io" {
				return fmt.Errorf("%v", s.Labels)
			}
		}
		return nil
	})
}

func TestHabit_ABudgetCountsBothVersionsAndExpectsOne(t *testing.T) {
	d := newDesk(t)
	one := intstr.FromInt32(1)
	world.Check(t, d.Create(d.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "mine", Namespace: d.Namespace},
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": world.Demo}}},
	}))
	d.held("Recreate", 3, nil)
	d.Eventually("it is counted", 30*time.Second, func() error {
		b := &policyv1.PodDisruptionBudget{}
		if err := d.Get(d.Context(), client.ObjectKey{Namespace: d.Namespace, Name: "mine"}, b); err != nil {
			return err
		}
		if s := b.Status; s.ExpectedPods != 3 || s.CurrentHealthy != 6 || s.DisruptionsAllowed != 4 {
			return fmt.Errorf("expects %d, healthy %d, may go %d", s.ExpectedPods, s.CurrentHealthy, s.DisruptionsAllowed)
		}
		return nil
	})
}

func TestHabit_APodThatSleepsBeforeItStopsServesOnAndIsShownSo(t *testing.T) {
	d := newDesk(t)
	d.PatchDeployment(`[{"op":"add","path":"/spec/template/spec/containers/0/lifecycle","value":{"preStop":{"sleep":{"seconds":5}}}}]`)
	d.Available(3)
	var pods corev1.PodList
	world.Check(t, d.List(d.Context(), &pods, client.InNamespace(d.Namespace), client.MatchingLabels{"app": world.Demo}))
	for _, p := range pods.Items {
		if p.DeletionTimestamp != nil {
			continue
		}
		world.Check(t, d.Delete(d.Context(), &p))
		d.Eventually("it is terminating and serves", 4*time.Second, func() error {
			var all discoveryv1.EndpointSliceList
			if err := d.List(d.Context(), &all, client.InNamespace(d.Namespace)); err != nil {
				return err
			}
			for _, s := range all.Items {
				for _, e := range s.Endpoints {
					if e.TargetRef == nil || e.TargetRef.Name != p.Name {
						continue
					}
					if c := e.Conditions; *c.Ready || !*c.Serving || !*c.Terminating {
						return fmt.Errorf("ready %v, serving %v, terminating %v", *c.Ready, *c.Serving, *c.Terminating)
					}
					return nil
				}
			}
			return fmt.Errorf("it is not listed")
		})
		return
	}
}
