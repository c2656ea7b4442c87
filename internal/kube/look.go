package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
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
	preview  *corev1.Service
	listed   map[string]bool // pods that the data plane can send to; nil where there is no Service
	reached  map[string]bool // those of them that the user's Services and the twins lead to
	heard    testimony       // why the candidate does not come up
	trouble  string          // why the last action could not be carried out
	behind   string          // an object of which the cache is older than what we wrote
	// undisturbed tells that every PodDisruptionBudget is seen to be as it should.
	undisturbed bool
	// buried tells that the Deployment is gone and made up of what is remembered of it.
	buried bool
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
	defer a.saw(l)
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
		if l.leaves() && !a.LooksOn {
			return nil, a.bury(ctx, l)
		}
		return nil, a.refuse(ctx, l, v1alpha1.ReasonTargetNotFound, "there is no Deployment %s in namespace %s", key.Name, key.Namespace)
	} else if err != nil {
		return nil, err
	}
	a.fresh(l, l.deploy)
	if err := a.forgetOther(ctx, l); err != nil {
		return nil, err
	}
	if err := a.followConfig(ctx, l); err != nil {
		return nil, err
	}
	if err := a.lookAtSets(ctx, l); err != nil {
		return nil, err
	}
	if observed, _, _ := unstructured.NestedInt64(l.deploy.Object, "status", "observedGeneration"); observed == 0 && len(l.sets) == 0 && !pausedNow(l.deploy) {
		l.behind = "the first ReplicaSet, which Kubernetes makes"
	}
	if err := a.lookAtPods(ctx, l); err != nil {
		return nil, err
	}
	return l, a.lookAtTraffic(ctx, l)
}

// forgetOther begins anew where the Deployment is another one than was adopted: somebody deleted it and made it again. Nothing that is
// remembered of the old one is true of it.
func (a *App) forgetOther(ctx context.Context, l *look) error {
	ad := l.rollout.Status.Adopted
	if a.LooksOn || ad == nil || ad.UID == "" || ad.UID == string(l.deploy.GetUID()) {
		return nil
	}
	l.state = rollout.State{Revision: l.state.Revision, Done: l.state.Done}
	raw, err := json.Marshal(l.state)
	if err != nil {
		return err
	}
	a.taken = nil
	if err := a.giveBudgetsBack(ctx, l); err != nil {
		return err
	}
	return a.status(ctx, l, func(st *v1alpha1.RolloutStatus) {
		*st = v1alpha1.RolloutStatus{
			Conditions: st.Conditions, Revision: st.Revision, Engine: &runtime.RawExtension{Raw: raw}, Message: "the Deployment was made anew and is adopted again",
		}
	})
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
	l.template = a.texts.of(l.deploy)

	lists, err := find(ctx, a, func() *unstructured.UnstructuredList {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(replicaSetKind)
		return list
	}, byDeployment, l.deploy.GetName())
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, list := range lists {
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
			n, ok, _ := unstructured.NestedInt64(rs.Object, "spec", "replicas")
			if !ok {
				n = 1
			}
			l.sets = append(l.sets, set{Unstructured: rs, version: rollout.Version(rs.GetLabels()[hashLabel]), template: a.texts.of(rs), replicas: int(n)})
		}
	}
	a.texts.keep(l)
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
	l.wanted = a.named(l)
	for _, s := range l.sets {
		if s.template == l.template {
			l.wanted = s.version
			break
		}
	}
	l.called = l.names()
	return nil
}

// named is the name of a template without a ReplicaSet. Where the ReplicaSet of another owner has it, it is another one. A ReplicaSet of
// this Deployment by that name is the one that was made for the template, whatever an admission webhook has made of it since: under a second
// name it would only be changed again.
func (a *App) named(l *look) rollout.Version {
	v := l.known(hashOf(l.template))
	for n := 1; a.taken[v]; n++ {
		v = hashOf(l.template + "#" + strconv.Itoa(n))
	}
	return v
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
	lists, err := find(ctx, a, func() *corev1.PodList { return &corev1.PodList{} }, byDeployment, l.deploy.GetName())
	if err != nil {
		return err
	}
	l.pods = map[rollout.Version][]*corev1.Pod{}
	for _, list := range lists {
		for i := range list.Items {
			p := &list.Items[i]
			if owner := metav1.GetControllerOf(p); owner != nil && selector.Matches(labels.Set(p.Labels)) {
				if v, ours := versionOf[owner.UID]; ours {
					l.pods[v] = append(l.pods[v], p)
				}
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
	podVersion := map[string]rollout.Version{}
	for v, pods := range l.pods {
		for _, p := range pods {
			podVersion[p.Name] = v
		}
	}
	l.pins = &service.Router{
		Client: a.Client, Pinned: v1alpha1.LabelPinned, Release: v1alpha1.ReleaseManager,
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
	podLabels := l.podLabels()
	lists, err := find(ctx, a, func() *corev1.ServiceList { return &corev1.ServiceList{} }, byPair, pairsOf(podLabels)...)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, list := range lists {
		for i := range list.Items {
			s := &list.Items[i]
			a.fresh(l, s)
			seen[nameOf(s)] = true
			switch {
			case s.DeletionTimestamp != nil:
			case s.Name == previewName(l.rollout) && metav1.IsControlledBy(s, l.rollout):
				l.preview = s
			case isTwin(s):
				if s.Labels[v1alpha1.LabelRollout] == l.rollout.Name {
					l.twins.Services = append(l.twins.Services, s)
				}
			case metav1.GetControllerOf(s) != nil && metav1.GetControllerOf(s).Kind == "Rollout":
			case len(l.rollout.Spec.Services) > 0 && !named[s.Name]:
			case leadsTo(s, podLabels):
				l.pins.Services = append(l.pins.Services, s)
				delete(named, s.Name)
			}
		}
	}
	slices.SortFunc(l.pins.Services, func(x, y *corev1.Service) int { return strings.Compare(x.Name, y.Name) })
	if missing := a.wrote.missing("*v1.Service", seen); missing != "" {
		l.behind = missing
	}
	for _, name := range l.rollout.Spec.Services {
		if named[name] && !l.buried {
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

// podLabels are those of the template.
func (l *look) podLabels() map[string]string {
	all, _, _ := unstructured.NestedStringMap(l.deploy.Object, "spec", "template", "metadata", "labels")
	return all
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
	mine := map[string]*service.Router{}
	if l.preview != nil {
		mine[l.preview.Name] = nil
	}
	for _, r := range []*service.Router{l.pins, l.twins} {
		for _, s := range r.Services {
			mine[s.Name] = r
		}
	}
	lists, err := find(ctx, a, func() *discoveryv1.EndpointSliceList { return &discoveryv1.EndpointSliceList{} }, byService, slices.Collect(maps.Keys(mine))...)
	if err != nil {
		return err
	}
	var shown []*discoveryv1.EndpointSlice
	for _, list := range lists {
		for i := range list.Items {
			e := &list.Items[i]
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

// forgotten are the versions to go back to, or to try again, of which no ReplicaSet is left.
func (l *look) forgotten() []rollout.Version {
	var gone []rollout.Version
	for _, v := range []rollout.Version{l.state.Previous, l.state.Rejected} {
		if _, stands := l.set(v); v != "" && !stands && v != l.wanted {
			gone = append(gone, v)
		}
	}
	return gone
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
