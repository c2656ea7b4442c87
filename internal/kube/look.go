package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/service"
	"gapless.dev/gapless/internal/traffic/weighted"
)

// Deployments and ReplicaSets are read as they were written: a template has fields that this program may not know.
var (
	deploymentKind = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	replicaSetKind = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"}
)

const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	desiredAnnotation  = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation      = "deployment.kubernetes.io/max-replicas"
)

// A look is everything of one app that was read at one time.
type look struct {
	rollout  *v1alpha1.Rollout
	state    rollout.State
	deploy   *unstructured.Unstructured
	replicas int
	wanted   rollout.Version
	template string            // canonical, the Deployment's
	called   map[string]string // what people call the versions, as it was before anything was written
	sets     []set             // oldest first
	pods     map[rollout.Version][]*corev1.Pod
	pins     *service.Router // the Services of the user
	twins    *service.Router // those of ours beside them, where a router divides
	router   traffic.Router
	weighted *weighted.Router // the same, where it divides by weight
	shadow   *corev1.Service
	preview  *corev1.Service
	listed   map[string]bool // pods that the data plane can send to; nil where there is no Service
	reached  map[string]bool // those of them that the user's Services and the twins lead to
	behind   string          // an object of which the cache is older than what we wrote
	// undisturbed tells that every PodDisruptionBudget is seen to be as it should.
	undisturbed bool
}

// A set is a ReplicaSet of the Deployment.
type set struct {
	*unstructured.Unstructured
	version  rollout.Version
	template string
	replicas int
}

func (l *look) set(v rollout.Version) (set, bool) {
	for _, s := range l.sets {
		if s.version == v {
			return s, true
		}
	}
	return set{}, false
}

// active are the ReplicaSets that are asked for pods.
func (l *look) active() []set {
	return slices.DeleteFunc(slices.Clone(l.sets), func(s set) bool { return s.replicas == 0 })
}

func (a *App) look(ctx context.Context) (*look, error) {
	l := &look{rollout: &v1alpha1.Rollout{}}
	if err := a.Client.Get(ctx, a.Key, l.rollout); apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%s: %w", a.Key, ErrGone)
	} else if err != nil {
		return nil, err
	}
	a.fresh(l, l.rollout)
	if raw := l.rollout.Status.Engine; raw != nil {
		if err := json.Unmarshal(raw.Raw, &l.state); err != nil {
			return nil, fmt.Errorf("status.engine of %s: %w", a.Key, err)
		}
	}
	l.deploy = &unstructured.Unstructured{}
	l.deploy.SetGroupVersionKind(deploymentKind)
	key := types.NamespacedName{Namespace: a.Key.Namespace, Name: l.rollout.Target()}
	if err := a.Client.Get(ctx, key, l.deploy); apierrors.IsNotFound(err) {
		return nil, a.refuse(ctx, l, v1alpha1.ReasonTargetNotFound, "there is no Deployment %s in namespace %s", key.Name, key.Namespace)
	} else if err != nil {
		return nil, err
	}
	a.fresh(l, l.deploy)
	if err := a.lookAtSets(ctx, l); err != nil {
		return nil, err
	}
	if err := a.lookAtPods(ctx, l); err != nil {
		return nil, err
	}
	return l, a.lookAtTraffic(ctx, l)
}

func (a *App) fresh(l *look, o client.Object) {
	if a.wrote.behind(o) {
		l.behind = nameOf(o)
	}
}

func (a *App) lookAtSets(ctx context.Context, l *look) error {
	l.replicas = 1
	if n, ok, _ := unstructured.NestedInt64(l.deploy.Object, "spec", "replicas"); ok {
		l.replicas = int(n)
	}
	template, _, _ := unstructured.NestedMap(l.deploy.Object, "spec", "template")
	l.template = canonical(template)

	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(replicaSetKind)
	if err := a.Client.List(ctx, list, client.InNamespace(a.Key.Namespace)); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := range list.Items {
		rs := &list.Items[i]
		owner := metav1.GetControllerOf(rs)
		if owner == nil || owner.UID != l.deploy.GetUID() {
			continue
		}
		a.fresh(l, rs)
		seen[nameOf(rs)] = true
		if rs.GetDeletionTimestamp() != nil {
			continue
		}
		template, _, _ := unstructured.NestedMap(rs.Object, "spec", "template")
		n, ok, _ := unstructured.NestedInt64(rs.Object, "spec", "replicas")
		if !ok {
			n = 1
		}
		l.sets = append(l.sets, set{Unstructured: rs, version: rollout.Version(rs.GetLabels()[hashLabel]), template: canonical(template), replicas: int(n)})
	}
	if missing := a.wrote.missing("ReplicaSet", seen); missing != "" {
		l.behind = missing
	}
	slices.SortFunc(l.sets, func(x, y set) int {
		if c := x.GetCreationTimestamp().Compare(y.GetCreationTimestamp().Time); c != 0 {
			return c
		}
		return strings.Compare(x.GetName(), y.GetName())
	})
	// As the native controller does: the oldest ReplicaSet with the template is the one.
	l.wanted = l.known(hashOf(l.template))
	for _, s := range l.sets {
		if s.template == l.template {
			l.wanted = s.version
			break
		}
	}
	l.called = l.names()
	return nil
}

// known is the name that a template without a ReplicaSet had when it had one. Kubernetes names ReplicaSets in its own way, and a
// refused version whose ReplicaSet was removed must not come back as a new one.
func (l *look) known(digest rollout.Version) rollout.Version {
	st := l.rollout.Status
	for _, v := range []*v1alpha1.VersionStatus{st.Candidate, st.Stable, {Hash: st.Rejected, Template: st.RejectedTemplate}} {
		if v != nil && v.Hash != "" && v.Template == string(digest) {
			return rollout.Version(v.Hash)
		}
	}
	return digest
}

func (a *App) lookAtPods(ctx context.Context, l *look) error {
	versionOf := map[types.UID]rollout.Version{}
	for _, s := range l.sets {
		versionOf[s.GetUID()] = s.version
	}
	selector, err := selectorOf(l.deploy)
	if err != nil {
		return err
	}
	var pods corev1.PodList
	if err := a.Client.List(ctx, &pods, client.InNamespace(a.Key.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return err
	}
	l.pods = map[rollout.Version][]*corev1.Pod{}
	for i := range pods.Items {
		p := &pods.Items[i]
		if owner := metav1.GetControllerOf(p); owner != nil {
			if v, ours := versionOf[owner.UID]; ours {
				l.pods[v] = append(l.pods[v], p)
			}
		}
	}
	return nil
}

func selectorOf(deploy *unstructured.Unstructured) (labels.Selector, error) {
	raw, _, _ := unstructured.NestedMap(deploy.Object, "spec", "selector")
	text, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	var s metav1.LabelSelector
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	return metav1.LabelSelectorAsSelector(&s)
}

func (a *App) lookAtTraffic(ctx context.Context, l *look) error {
	var all corev1.ServiceList
	if err := a.Client.List(ctx, &all, client.InNamespace(a.Key.Namespace)); err != nil {
		return err
	}
	podVersion := map[string]rollout.Version{}
	for v, pods := range l.pods {
		for _, p := range pods {
			podVersion[p.Name] = v
		}
	}
	l.pins = &service.Router{
		Client: a.Client, Pinned: v1alpha1.LabelPinned, Release: v1alpha1.AnnotationRelease,
		Slices:  map[string][]*discoveryv1.EndpointSlice{},
		Version: func(pod string) rollout.Version { return podVersion[pod] },
		Told:    l.state.Route,
		Wrote:   func(o client.Object) { a.wrote.note(o) },
	}
	twins := *l.pins
	twins.Slices = map[string][]*discoveryv1.EndpointSlice{}
	l.twins = &twins
	named := map[string]bool{}
	for _, n := range l.rollout.Spec.Services {
		named[n] = true
	}
	podLabels, _, _ := unstructured.NestedStringMap(l.deploy.Object, "spec", "template", "metadata", "labels")
	seen := map[string]bool{}
	for i := range all.Items {
		s := &all.Items[i]
		a.fresh(l, s)
		seen[nameOf(s)] = true
		switch {
		case s.DeletionTimestamp != nil:
		case s.Name == shadowName(l.rollout) && metav1.IsControlledBy(s, l.rollout):
			l.shadow = s
		case s.Name == previewName(l.rollout) && metav1.IsControlledBy(s, l.rollout):
			l.preview = s
		case isTwin(s):
			if s.Labels[v1alpha1.LabelRollout] == l.rollout.Name {
				l.twins.Services = append(l.twins.Services, s)
			}
		case metav1.GetControllerOf(s) != nil && metav1.GetControllerOf(s).Kind == "Rollout":
		case len(named) > 0 && !named[s.Name]:
		case leadsTo(s, podLabels):
			l.pins.Services = append(l.pins.Services, s)
			delete(named, s.Name)
		}
	}
	if missing := a.wrote.missing("*v1.Service", seen); missing != "" {
		l.behind = missing
	}
	if len(l.rollout.Spec.Services) > 0 && len(named) > 0 {
		for name := range named {
			return a.refuse(ctx, l, v1alpha1.ReasonServiceMissing, "spec.services: %s does not exist, or its selector does not match the Deployment's template", name)
		}
	}
	if err := a.lookAtSlices(ctx, l); err != nil {
		return err
	}
	return a.lookAtRoute(ctx, l)
}

// LeadsTo tells whether a Service of the user, its pin aside, selects the pods of a Deployment's template.
func LeadsTo(s *corev1.Service, deploy *unstructured.Unstructured) bool {
	podLabels, _, _ := unstructured.NestedStringMap(deploy.Object, "spec", "template", "metadata", "labels")
	owner := metav1.GetControllerOf(s)
	return (owner == nil || owner.Kind != "Rollout") && leadsTo(s, podLabels)
}

// leadsTo tells whether a Service, its pin aside, selects pods with the labels.
func leadsTo(s *corev1.Service, podLabels map[string]string) bool {
	n := 0
	for k, v := range s.Spec.Selector {
		if k == service.HashKey && s.Labels[v1alpha1.LabelPinned] != "" {
			continue
		}
		if podLabels[k] != v {
			return false
		}
		n++
	}
	return n > 0
}

func (a *App) lookAtSlices(ctx context.Context, l *look) error {
	if len(l.pins.Services) == 0 {
		return nil
	}
	var all discoveryv1.EndpointSliceList
	if err := a.Client.List(ctx, &all, client.InNamespace(a.Key.Namespace)); err != nil {
		return err
	}
	mine := map[string]*service.Router{shadowName(l.rollout): nil}
	for _, r := range []*service.Router{l.pins, l.twins} {
		for _, s := range r.Services {
			mine[s.Name] = r
		}
	}
	var shown []*discoveryv1.EndpointSlice
	for i := range all.Items {
		e := &all.Items[i]
		name := e.Labels[discoveryv1.LabelServiceName]
		// Slices that somebody else wrote follow no selector.
		r, is := mine[name]
		if !is || e.DeletionTimestamp != nil || e.Labels[discoveryv1.LabelManagedBy] != "endpointslice-controller.k8s.io" {
			continue
		}
		shown = append(shown, e)
		if r != nil {
			r.Slices[name] = append(r.Slices[name], e)
		}
	}
	l.listed = service.Ready(shown)
	l.reached = map[string]bool{}
	for _, r := range []*service.Router{l.pins, l.twins} {
		for _, slices := range r.Slices {
			maps.Copy(l.reached, service.Ready(slices))
		}
	}
	return nil
}

// orders are what people wrote on the Rollout; a Rollout that is being deleted orders an abort.
func (l *look) orders(at time.Time) []rollout.Order {
	var orders []rollout.Order
	if text := l.rollout.Annotations[v1alpha1.AnnotationOrders]; text != "" {
		if err := json.Unmarshal([]byte(text), &orders); err != nil {
			orders = nil // not ours; nothing is guessed from it
		}
	}
	if l.rollout.DeletionTimestamp != nil && rollout.Active(l.state.Phase) && l.state.Phase != rollout.Aborting {
		orders = append(orders, rollout.Order{ID: max(l.state.Done, at.UnixNano()) + 1, Verb: rollout.Abort, By: "eject", At: at})
	}
	return orders
}
