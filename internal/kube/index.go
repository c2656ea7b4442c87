package kube

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/traffic/service"
)

// The indexes of the cache. With them a look costs the same in a namespace of one app and of a thousand.
const (
	byDeployment = "gapless.deployment" // ReplicaSets and pods, by the Deployment's name
	byPair       = "gapless.pair"       // Services and PodDisruptionBudgets, by one label that they select by
	byService    = "gapless.service"    // EndpointSlices, by the Service's name
	byTarget     = "gapless.target"     // Rollouts, by the Deployment's name
	byRoute      = "gapless.route"      // Rollouts, by the route object that they name
	byAdopted    = "gapless.adopted"    // Rollouts, by each label of the pods that they have adopted
)

// index adds the indexes to a cache.
func index(ctx context.Context, to client.FieldIndexer) error {
	replicaSet := &unstructured.Unstructured{}
	replicaSet.SetGroupVersionKind(replicaSetKind)
	for _, i := range []struct {
		object client.Object
		name   string
		of     client.IndexerFunc
	}{
		{replicaSet, byDeployment, func(o client.Object) []string { return list(deploymentOfSet(o)) }},
		{&corev1.Pod{}, byDeployment, func(o client.Object) []string { return list(deploymentOfPod(o)) }},
		{&corev1.Service{}, byPair, func(o client.Object) []string { return list(pairOf(o.(*corev1.Service).Spec.Selector)) }},
		{&policyv1.PodDisruptionBudget{}, byPair, func(o client.Object) []string { return list(pairOfBudget(o.(*policyv1.PodDisruptionBudget))) }},
		{&discoveryv1.EndpointSlice{}, byService, func(o client.Object) []string { return list(o.GetLabels()[discoveryv1.LabelServiceName]) }},
		{&v1alpha1.Rollout{}, byTarget, func(o client.Object) []string { return list(o.(*v1alpha1.Rollout).Target()) }},
		{&v1alpha1.Rollout{}, byRoute, func(o client.Object) []string { return list(routeKey(o.(*v1alpha1.Rollout).Spec.Traffic)) }},
		{&v1alpha1.Rollout{}, byAdopted, func(o client.Object) []string {
			if ad := o.(*v1alpha1.Rollout).Status.Adopted; ad != nil {
				return pairsOf(ad.MatchLabels)
			}
			return nil
		}},
	} {
		if err := to.IndexField(ctx, i.object, i.name, i.of); err != nil {
			return err
		}
	}
	return nil
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// deploymentOfSet is the name of the Deployment that controls a ReplicaSet.
func deploymentOfSet(rs client.Object) string {
	if owner := metav1.GetControllerOf(rs); owner != nil && owner.Kind == "Deployment" {
		return owner.Name
	}
	return ""
}

// deploymentOfPod is the name of the Deployment that a pod's ReplicaSet is named after: Kubernetes and Gapless both add the hash to it.
func deploymentOfPod(p client.Object) string {
	owner, hash := metav1.GetControllerOf(p), p.GetLabels()[hashLabel]
	if owner == nil || owner.Kind != "ReplicaSet" || hash == "" {
		return ""
	}
	name, ok := strings.CutSuffix(owner.Name, "-"+hash)
	if !ok {
		return ""
	}
	return name
}

// pairOf stands for a selector: of its labels the first by name, but for the one that a pin adds.
func pairOf(selector map[string]string) string {
	first := ""
	for k := range selector {
		if k != service.HashKey && (first == "" || k < first) {
			first = k
		}
	}
	if first == "" {
		return ""
	}
	return first + "=" + selector[first]
}

// anyPod is the pair of a budget that cannot be found by a label.
const anyPod = "*"

func pairOfBudget(b *policyv1.PodDisruptionBudget) string {
	if b.Spec.Selector == nil {
		return anyPod
	}
	if pair := pairOf(b.Spec.Selector.MatchLabels); pair != "" {
		return pair
	}
	return anyPod
}

func pairsOf(labels map[string]string) []string {
	pairs := make([]string, 0, len(labels))
	for k, v := range labels {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return pairs
}

// find lists what an index holds under one of the keys, in the app's namespace. Without indexes it lists all of the namespace, and whoever
// asks sorts out what is meant. What it finds may be the cache's own and must not be changed.
func find[L client.ObjectList](ctx context.Context, a *App, empty func() L, index string, keys ...string) ([]L, error) {
	if !a.Indexed {
		all := empty()
		return []L{all}, a.Client.List(ctx, all, client.InNamespace(a.Key.Namespace))
	}
	var found []L
	for _, key := range keys {
		some := empty()
		if err := a.Client.List(ctx, some, client.InNamespace(a.Key.Namespace), client.MatchingFields{index: key}, client.UnsafeDisableDeepCopy); err != nil {
			return nil, err
		}
		found = append(found, some)
	}
	return found, nil
}
