package kube

import (
	"slices"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/resource"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// nodeRoom is how many pods more like this one the nodes can take by what is requested, and on how many nodes such a pod may be at all.
// running are the pods of all namespaces. Rules of spreading are not seen, save the one that two pods of an app share no node.
func nodeRoom(nodes []corev1.Node, running []corev1.Pod, pod *corev1.Pod) (room, allowed int) {
	on := map[string][]*corev1.Pod{}
	for i := range running {
		p := &running[i]
		if p.Spec.NodeName != "" && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			on[p.Spec.NodeName] = append(on[p.Spec.NodeName], p)
		}
	}
	for i := range nodes {
		if n := &nodes[i]; mayRunOn(n, pod) {
			allowed++
			room += roomOn(n, on[n.Name], pod)
		}
	}
	return room, allowed
}

// mayRunOn tells whether the scheduler would look at a node at all.
func mayRunOn(n *corev1.Node, pod *corev1.Pod) bool {
	ready := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	if !ready || n.Spec.Unschedulable {
		return false
	}
	keepsOut := func(t *corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }
	if _, kept := scheduling.FindMatchingUntoleratedTaint(logr.Discard(), n.Spec.Taints, pod.Spec.Tolerations, keepsOut, false); kept {
		return false
	}
	fits, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(n)
	return err == nil && fits
}

func roomOn(n *corev1.Node, there []*corev1.Pod, pod *corev1.Pod) int {
	left := n.Status.Allocatable.DeepCopy()
	alone := false
	for _, p := range there {
		for name, q := range resource.PodRequests(p, resource.PodResourcesOptions{}) {
			l := left[name]
			l.Sub(q)
			left[name] = l
		}
		alone = alone || avoids(pod, p)
	}
	pods := left[corev1.ResourcePods]
	room := max(0, int(pods.Value())-len(there))
	for name, each := range resource.PodRequests(pod, resource.PodResourcesOptions{}) {
		if l := left[name]; !each.IsZero() {
			room = min(room, fits(l.AsApproximateFloat64(), each.AsApproximateFloat64()))
		}
	}
	switch {
	case alone:
		return 0
	case avoids(pod, pod):
		return min(room, 1)
	}
	return room
}

// avoids tells whether a pod cannot be on a node where the other is: both want the same port of the node, or the one has said so.
func avoids(pod, other *corev1.Pod) bool {
	mine, theirs := hostPorts(pod), hostPorts(other)
	if slices.ContainsFunc(mine, func(p int32) bool { return slices.Contains(theirs, p) }) {
		return true
	}
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.PodAntiAffinity == nil || pod.Namespace != other.Namespace {
		return false
	}
	return slices.ContainsFunc(pod.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, func(t corev1.PodAffinityTerm) bool {
		s, err := metav1.LabelSelectorAsSelector(t.LabelSelector)
		return err == nil && t.TopologyKey == corev1.LabelHostname && s.Matches(labels.Set(other.Labels))
	})
}

func hostPorts(pod *corev1.Pod) (all []int32) {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.HostPort > 0 {
				all = append(all, p.HostPort)
			}
		}
	}
	return all
}
