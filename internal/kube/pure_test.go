package kube

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic/service"
)

func templateOf(image string, labels map[string]any) map[string]any {
	return map[string]any{
		"metadata": map[string]any{"labels": labels, "creationTimestamp": nil},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": image, "fieldOfTheFuture": "kept"}}},
	}
}

func TestCanonical_IsTheSameForADeploymentAndItsReplicaSet(t *testing.T) {
	d := templateOf("api:1", map[string]any{"app": "api"})
	rs := templateOf("api:1", map[string]any{"app": "api", hashLabel: "abc"})
	if canonical(d) != canonical(rs) {
		t.Errorf("%s\n%s", canonical(d), canonical(rs))
	}
	if rs["metadata"].(map[string]any)["labels"].(map[string]any)[hashLabel] != "abc" {
		t.Error("the ReplicaSet's template was changed")
	}
	for _, other := range []map[string]any{templateOf("api:2", map[string]any{"app": "api"}), templateOf("api:1", map[string]any{"app": "api", "x": "y"})} {
		if canonical(d) == canonical(other) || hashOf(canonical(d)) == hashOf(canonical(other)) {
			t.Errorf("taken for the same: %s", canonical(other))
		}
	}
	if !strings.Contains(canonical(d), "fieldOfTheFuture") {
		t.Error("a field that this program does not know was lost")
	}
}

func waiting(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func TestFailure_SaysWhyInWords(t *testing.T) {
	crash := waiting("CrashLoopBackOff", "back-off 10s")
	crash.RestartCount = 3
	crash.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: "no schema\n"}
	killed := corev1.ContainerStatus{Name: "app", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}}}
	running := corev1.ContainerStatus{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	for _, tt := range []struct {
		name string
		pod  corev1.PodStatus
		want string
	}{
		{"image", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("ErrImagePull", "not found")}}, "pod api-1: container app: ErrImagePull: not found"},
		{"crash loop", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{crash}}, "pod api-1: container app keeps dying, with exit code 1: no schema (restarts: 3)"},
		{"out of memory", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{killed}}, "pod api-1: container app ended with exit code 137 (OOMKilled)"},
		{"no place", corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/2 nodes have room"}}}, "pod api-1: it cannot be placed: 0/2 nodes have room"},
		{"not ready", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{running}}, "pod api-1: container app runs and does not answer that it is ready"},
		{"starting", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("ContainerCreating", "")}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "api-1"}, Status: tt.pod}
			if got := Failure([]*corev1.Pod{p}); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestPlanOf_TakesWhatTheUserWrote(t *testing.T) {
	l := &look{
		rollout: &v1alpha1.Rollout{}, replicas: 10,
		deploy: &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
			"progressDeadlineSeconds": int64(60),
			"strategy":                map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": "25%", "maxUnavailable": int64(0)}},
		}}},
	}
	l.rollout.Name, l.pins = "api", &service.Router{Services: []*corev1.Service{{}}}
	want := rollout.Plan{App: "api", Strategy: rollout.Rolling, Split: rollout.ByShare, MaxSurge: 3, Drain: 5 * time.Second, Deadline: time.Minute}
	if d := cmp.Diff(want, planOf(l)); d != "" {
		t.Error(d)
	}

	l.rollout.Spec.Strategy = &v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{{Weight: new(int32(25)), Pause: "30s"}, {Weight: new(int32(50)), Pause: "manual"}}}}
	l.rollout.Spec.Deadline = &metav1.Duration{Duration: time.Hour}
	want.Strategy, want.Deadline = rollout.Canary, time.Hour
	want.Steps = []rollout.Step{{Weight: 25, Pause: 30 * time.Second}, {Weight: 50, Manual: true}}
	if d := cmp.Diff(want, planOf(l)); d != "" {
		t.Error(d)
	}

	// Pods of stable that would not drain are not cut off by a share that shrinks: there is room for all of them.
	l.state.Stable = "old"
	l.pods = map[rollout.Version][]*corev1.Pod{"old": {{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}}}}
	if p := planOf(l); p.MaxSurge != 10 {
		t.Errorf("surge %d", p.MaxSurge)
	}
	l.rollout.Spec.Strategy = nil
	if p := planOf(l); p.Strategy != rollout.BlueGreen {
		t.Errorf("Kubernetes would cut off pods that do not drain: %s", p.Strategy)
	}
}

func TestWritten_HoldsBackALookThatIsOlderThanOurOwnDeeds(t *testing.T) {
	object := func(version string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "api", UID: "1", ResourceVersion: version}}
	}
	var w written
	w.note(object("10"))
	if !w.behind(object("9")) || w.behind(object("10")) || w.behind(object("9")) {
		t.Error("9 is behind 10 until 10 was seen once")
	}
	w.note(object("100"))
	if got := w.missing("*v1.Service", map[string]bool{}); got == "" {
		t.Error("an object that was written and is not there yet was not missed")
	}
	w.deleted(object("100"))
	if !w.behind(object("100")) {
		t.Error("a deleted object still stands in the cache")
	}
	again := object("101")
	again.UID = "2"
	if w.behind(again) {
		t.Error("another object of the name was taken for the deleted one")
	}
}

func TestDecide_LooksOnWhereKubernetesRolls(t *testing.T) {
	plan := rollout.Plan{App: "api", Strategy: rollout.Rolling, Split: rollout.ByShare, MaxSurge: 1, Deadline: time.Minute}
	now := time.Unix(1000, 0)
	look := func(s rollout.State, wanted rollout.Version, old, young rollout.Standing, orders ...rollout.Order) rollout.Decision {
		now = now.Add(time.Second)
		return decide(plan, s, rollout.Snapshot{
			Now: now, Wanted: wanted, Replicas: 3, Orders: orders, Route: rollout.Route{Open: true}, Grade: rollout.Told,
			Versions: map[rollout.Version]rollout.Standing{"v1": old, "v2": young},
		})
	}
	three, none := rollout.Standing{Asked: 3, Running: 3, Serving: 3}, rollout.Standing{}
	half := rollout.Standing{Asked: 2, Running: 2, Serving: 1}

	d := look(rollout.State{}, "v1", three, none)
	if d.State.Stable != "v1" || d.State.Phase != rollout.Idle {
		t.Fatalf("adopted: %+v", d.State)
	}
	at := d.State
	d = look(at, "v2", half, half)
	if d.State.Candidate != "v2" || d.State.Phase != rollout.Shifting || len(d.Actions) > 0 {
		t.Fatalf("under way: %+v %v", d.State, d.Actions)
	}
	midway := d.State
	if d = look(midway, "v2", none, three); d.State.Stable != "v2" || d.State.Previous != "v1" || d.State.Phase != rollout.Idle {
		t.Errorf("over: %+v", d.State)
	}
	d = look(midway, "v2", half, half, rollout.Order{ID: 7, Verb: rollout.Abort, By: "you"})
	want := []rollout.Action{{Kind: rollout.WriteBack, Version: "v1", Over: "v2"}}
	if diff := cmp.Diff(want, d.Actions); diff != "" || d.State.Phase != rollout.Aborting || len(d.Answers) != 1 {
		t.Errorf("aborted: %+v\n%s", d.State, diff)
	}
	if d = look(d.State, "v1", half, half); len(d.Actions) > 0 || d.State.Phase != rollout.Aborting {
		t.Errorf("on the way back: %+v", d)
	}
	if d = look(d.State, "v1", three, none); d.State.Phase != rollout.Idle || d.State.Stable != "v1" || d.State.Aborted == nil {
		t.Errorf("back: %+v", d.State)
	}
	back := d.State
	if d = look(back, "v2", three, half); d.State.Phase != rollout.Aborting || d.State.Revision != back.Revision || cmp.Diff(want, d.Actions) != "" {
		t.Errorf("the refused version is written again: %+v %v", d.State, d.Actions)
	}
	if d = look(d.State, "v1", three, none); d.State.Phase != rollout.Idle || d.State.Aborted == nil || d.State.Rejected != "v2" {
		t.Errorf("back once more: %+v", d.State)
	}
	d = look(back, "v1", three, none, rollout.Order{ID: 8, Verb: rollout.Retry, By: "you"})
	again := []rollout.Action{{Kind: rollout.WriteBack, Version: "v2", Over: "v1"}}
	if diff := cmp.Diff(again, d.Actions); diff != "" || !d.Answers[0].Obeyed {
		t.Errorf("tried again: %+v\n%s", d.Answers, diff)
	}
	if d = look(d.State, "v2", half, half); d.State.Phase != rollout.Shifting || len(d.Actions) > 0 {
		t.Errorf("the second try: %+v %v", d.State, d.Actions)
	}
	if d = look(midway, "v2", half, half, rollout.Order{ID: 8, Verb: rollout.Retry, By: "you"}); d.Answers[0].Obeyed {
		t.Errorf("nothing was refused: %+v", d.Answers)
	}
	now = now.Add(time.Hour)
	if d = look(midway, "v2", half, half); d.State.Aborted == nil || d.State.Aborted.Reason != rollout.ReasonDeadlineExceeded {
		t.Errorf("out of time: %+v", d.State)
	}
}
