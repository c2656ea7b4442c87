package kube

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
)

// A sight is what the last look of an app went by: what changes beside it need not wake the app.
type sight struct {
	rollout   string
	target    string
	podLabels map[string]string
	services  map[string]bool // whose slices were read
	config    map[string]bool // what spec.config names
}

// saw notes what a look went by.
func (a *App) saw(l *look) {
	s := &sight{rollout: l.rollout.Name, target: l.rollout.Target(), services: map[string]bool{previewName(l.rollout): true}}
	if l.deploy != nil {
		s.podLabels = l.podLabels()
	}
	if l.pins != nil && l.twins != nil {
		for _, o := range slices.Concat(l.pins.Services, l.twins.Services) {
			s.services[o.Name] = true
		}
	}
	s.config = map[string]bool{}
	for name := range l.rollout.Status.Config {
		s.config[name] = true
	}
	a.sight.Store(s)
}

// concerns tells whether an object of the app's namespace, as it is or as it was, may change what the app decides.
func (a *App) concerns(o client.Object) bool {
	s := a.sight.Load()
	if s == nil {
		return true
	}
	switch o := o.(type) {
	case *v1alpha1.Rollout:
		return o.Name == s.rollout
	case *unstructured.Unstructured:
		switch o.GetKind() {
		case deploymentKind.Kind:
			return o.GetName() == s.target
		case replicaSetKind.Kind:
			return deploymentOfSet(o) == s.target
		}
	case *metav1.PartialObjectMetadata:
		return s.config[o.Kind+"/"+o.Name]
	case *corev1.Pod:
		return deploymentOfPod(o) == s.target
	case *corev1.Service:
		return s.owns(o) || s.services[o.Name] || leadsTo(o, s.podLabels)
	case *discoveryv1.EndpointSlice:
		name := o.Labels[discoveryv1.LabelServiceName]
		return s.services[name] || strings.HasPrefix(name, s.rollout+"-") // a Service of ours is named so
	case *policyv1.PodDisruptionBudget:
		selector, err := metav1.LabelSelectorAsSelector(o.Spec.Selector)
		return s.owns(o) || err == nil && selector.Matches(labels.Set(s.podLabels))
	}
	return true
}

func (s *sight) owns(o client.Object) bool {
	owner := metav1.GetControllerOf(o)
	return owner != nil && owner.Kind == "Rollout" && owner.Name == s.rollout
}
