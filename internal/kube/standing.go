package kube

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/internal/rollout"
)

// versions is what stands of each ReplicaSet. One without any pod stands too: it can be used again, or be removed.
func (l *look) versions(now time.Time) map[rollout.Version]rollout.Standing {
	minReady, _, _ := unstructured.NestedInt64(l.deploy.Object, "spec", "minReadySeconds")
	all := map[rollout.Version]rollout.Standing{}
	for _, s := range l.sets {
		st := rollout.Standing{Asked: s.replicas, InFlight: -1}
		for _, p := range l.pods[s.version] {
			switch {
			case p.DeletionTimestamp != nil:
				st.Stopping++
				continue
			case p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded:
				continue
			}
			st.Running++
			switch {
			case !available(p, time.Duration(minReady)*time.Second, now):
			case l.listed == nil || l.listed[p.Name] || !l.shown(s.version):
				st.Serving++
			default:
				st.Unlisted++ // slices follow readiness some 100 ms later
			}
		}
		if st.Serving < s.replicas {
			st.Failure = cmp.Or(l.heard.of(s.version), s.refused(), Failure(l.pods[s.version]), l.trouble)
		}
		if s.version == l.state.Candidate && l.state.Phase == rollout.Preparing && !l.recognised(s) {
			st.Serving = 0 // it must not get traffic before
			if young := now.Sub(s.GetCreationTimestamp().Time) < slowToRecognise; !young && st.Failure == "" {
				st.Failure = "Kubernetes has not taken the ReplicaSet for the Deployment's own yet"
			}
		}
		all[s.version] = st
	}
	return all
}

// refused says why Kubernetes cannot make pods of a ReplicaSet at all, such as a quota.
func (s set) refused() string {
	conditions, _, _ := unstructured.NestedSlice(s.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] != string(appsv1.ReplicaSetReplicaFailure) || condition["status"] != string(corev1.ConditionTrue) {
			continue
		}
		message, _ := condition["message"].(string)
		if _, why, found := strings.Cut(message, " is forbidden: "); found {
			message = why // what comes before is the name of a pod, another one at each try
		}
		return "Kubernetes cannot make its pods: " + message
	}
	return ""
}

// slowToRecognise is how long Kubernetes may take to stamp a ReplicaSet before that is worth a word. It takes a second or two.
const slowToRecognise = 15 * time.Second

// shown tells whether a ready pod of the version must stand in a slice that we look at. All Services may be pinned away from it; then it
// must only if the preview leads to it.
func (l *look) shown(v rollout.Version) bool {
	if l.preview != nil && l.preview.Spec.Selector[hashLabel] == string(v) {
		return true
	}
	for _, s := range slices.Concat(l.pins.Services, l.twins.Services) {
		if pin := s.Spec.Selector[hashLabel]; pin == "" || pin == string(v) {
			return true
		}
	}
	return false
}

func available(p *corev1.Pod, minReady time.Duration, now time.Time) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && !now.Before(c.LastTransitionTime.Add(minReady))
		}
	}
	return false
}

// Failure says in words why pods do not come up.
func Failure(pods []*corev1.Pod) string {
	p, _, words := spokesman(pods)
	if words == "" {
		return ""
	}
	return fmt.Sprintf("pod %s: %s", p.Name, words)
}

// spokesman is the pod that speaks for all that do not come up, with the container that is to blame. It is the first by name that has a
// reason, so that the words stay the same while nothing changes.
func spokesman(pods []*corev1.Pod) (*corev1.Pod, corev1.ContainerStatus, string) {
	pods = slices.SortedFunc(slices.Values(pods), func(x, y *corev1.Pod) int { return strings.Compare(x.Name, y.Name) })
	var unready *corev1.Pod
	var idle corev1.ContainerStatus
	for _, p := range pods {
		if p.DeletionTimestamp != nil {
			continue
		}
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			if text := containerFailure(c); text != "" {
				return p, c, text
			}
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				return p, corev1.ContainerStatus{}, "it cannot be placed: " + c.Message
			}
		}
		if p.Status.Reason == "Evicted" || p.Status.Phase == corev1.PodFailed {
			return p, corev1.ContainerStatus{}, "it failed: " + strings.TrimSpace(p.Status.Reason+" "+p.Status.Message)
		}
		for _, c := range p.Status.ContainerStatuses {
			if c.State.Running != nil && !c.Ready && unready == nil {
				unready, idle = p, c
			}
		}
	}
	if unready == nil {
		return nil, idle, ""
	}
	return unready, idle, fmt.Sprintf("container %s runs and does not answer that it is ready", idle.Name)
}

func containerFailure(c corev1.ContainerStatus) string {
	ended := c.LastTerminationState.Terminated
	if c.State.Terminated != nil {
		ended = c.State.Terminated
	}
	exit := ""
	if ended != nil && (ended.ExitCode != 0 || ended.Reason != "Completed") {
		exit = fmt.Sprintf("exit code %d", ended.ExitCode)
		if ended.Reason != "" && ended.Reason != "Error" {
			exit += " (" + ended.Reason + ")"
		}
		if last := strings.TrimSpace(ended.Message); last != "" {
			exit += ": " + last
		}
	}
	w := c.State.Waiting
	switch {
	case w == nil && exit != "" && c.State.Running == nil:
		return fmt.Sprintf("container %s ended with %s", c.Name, exit)
	case w == nil:
		return ""
	case w.Reason == "ContainerCreating" || w.Reason == "PodInitializing":
		return ""
	case w.Reason == "CrashLoopBackOff":
		return fmt.Sprintf("container %s keeps dying, with %s (restarts: %d)", c.Name, exit, c.RestartCount)
	}
	return fmt.Sprintf("container %s: %s: %s", c.Name, w.Reason, w.Message)
}
