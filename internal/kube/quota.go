package kube

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
)

// quotaRoom is how many pods more like this one a ResourceQuota lets in, and which of its lines is the narrowest. without tells that the
// quota does not speak of such pods.
func quotaRoom(q *corev1.ResourceQuota, pod *corev1.Pod) (room int, narrowest corev1.ResourceName, without bool) {
	if !inScope(q, pod) {
		return 0, "", true
	}
	hard := q.Status.Hard
	if len(hard) == 0 {
		hard = q.Spec.Hard // nobody has counted yet
	}
	without = true
	for name, each := range quotaUse(pod) {
		limit, limited := hard[name]
		if !limited {
			continue
		}
		left := limit.DeepCopy()
		left.Sub(q.Status.Used[name])
		if n := fits(left.AsApproximateFloat64(), each); without || n < room || n == room && name < narrowest {
			room, narrowest, without = n, name, false
		}
	}
	return room, narrowest, without
}

// quotaUse is what one pod takes of each line that a quota can have.
func quotaUse(pod *corev1.Pod) map[corev1.ResourceName]float64 {
	use := map[corev1.ResourceName]float64{corev1.ResourcePods: 1, "count/pods": 1}
	for name, q := range resource.PodRequests(pod, resource.PodResourcesOptions{}) {
		n := q.AsApproximateFloat64()
		use["requests."+name] = n
		if slices.Contains([]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}, name) {
			use[name] = n // its short name
		}
	}
	for name, q := range resource.PodLimits(pod, resource.PodResourcesOptions{}) {
		use["limits."+name] = q.AsApproximateFloat64()
	}
	for name, n := range use {
		if n <= 0 {
			delete(use, name)
		}
	}
	return use
}

// fits is how often each goes into left.
func fits(left, each float64) int {
	const rounding = 1e-6 // quantities are decimal, and these are not
	return max(0, int(left/each+rounding))
}

// inScope tells whether a quota speaks of a pod that is to run until somebody ends it.
func inScope(q *corev1.ResourceQuota, pod *corev1.Pod) bool {
	all := []corev1.ScopedResourceSelectorRequirement{}
	for _, s := range q.Spec.Scopes {
		all = append(all, corev1.ScopedResourceSelectorRequirement{ScopeName: s, Operator: corev1.ScopeSelectorOpExists})
	}
	if q.Spec.ScopeSelector != nil {
		all = append(all, q.Spec.ScopeSelector.MatchExpressions...)
	}
	return !slices.ContainsFunc(all, func(r corev1.ScopedResourceSelectorRequirement) bool { return !matchesScope(r, pod) })
}

func matchesScope(r corev1.ScopedResourceSelectorRequirement, pod *corev1.Pod) bool {
	bestEffort := len(resource.PodRequests(pod, resource.PodResourcesOptions{}))+len(resource.PodLimits(pod, resource.PodResourcesOptions{})) == 0
	switch r.ScopeName {
	case corev1.ResourceQuotaScopeTerminating:
		return pod.Spec.ActiveDeadlineSeconds != nil
	case corev1.ResourceQuotaScopeNotTerminating:
		return pod.Spec.ActiveDeadlineSeconds == nil
	case corev1.ResourceQuotaScopeBestEffort:
		return bestEffort
	case corev1.ResourceQuotaScopeNotBestEffort:
		return !bestEffort
	case corev1.ResourceQuotaScopePriorityClass:
		has := pod.Spec.PriorityClassName
		switch r.Operator {
		case corev1.ScopeSelectorOpIn:
			return slices.Contains(r.Values, has)
		case corev1.ScopeSelectorOpNotIn:
			return !slices.Contains(r.Values, has)
		case corev1.ScopeSelectorOpDoesNotExist:
			return has == ""
		}
		return has != ""
	}
	return false // a scope of other pods
}
