package kube

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic/service"
)

// scale asks for n pods of a version. Two versions may only have pods at once after everything in twoVersions is so.
func (a *App) scale(ctx context.Context, v rollout.Version, n int) error {
	l := a.seen
	s, stands := l.set(v)
	active := l.active()
	switch {
	case !stands && n == 0:
		return nil
	case stands && len(active) == 1 && active[0].version == v && n == l.replicas:
		return nil // the only active ReplicaSet is scaled by Kubernetes itself, paused or not
	}
	if n > 0 {
		for _, step := range twoVersions {
			done, err := step.see(a, ctx, l, v)
			if err != nil {
				return fmt.Errorf("%s: %w", step.what, err)
			}
			if !done {
				return nil // seen at the next look
			}
		}
	}
	switch {
	case !stands:
		return a.make(ctx, l, v, n)
	case s.replicas == n:
		return nil
	}
	_, err := a.patch(ctx, s.Unstructured, map[string]any{"spec": map[string]any{"replicas": n}})
	return err
}

// A step of the way to two versions that Kubernetes leaves alone. see tells whether it is seen to be so; if not, it has been asked for.
type step struct {
	what string
	see  func(*App, context.Context, *look, rollout.Version) (bool, error)
}

// twoVersions in their order: each stands on those before it.
var twoVersions = []step{
	{"mark the Rollout", (*App).marked},
	{"hold the Deployment", (*App).holds},
	{"show the candidate in a Service", (*App).shows},
	{"lead each version by a Service of its own", (*App).leads},
	{"strip the ReplicaSets of their desired count", (*App).stripped},
	{"set the strategy aside", (*App).recreates},
}

// marked: a Rollout that is deleted from now on first takes its revision back.
func (a *App) marked(ctx context.Context, l *look, _ rollout.Version) (bool, error) {
	if controllerutil.ContainsFinalizer(l.rollout, v1alpha1.Finalizer) || l.rollout.DeletionTimestamp != nil {
		return true, nil
	}
	next := l.rollout.DeepCopy()
	controllerutil.AddFinalizer(next, v1alpha1.Finalizer)
	if err := a.Client.Patch(ctx, next, client.MergeFromWithOptions(l.rollout, client.MergeFromWithOptimisticLock{})); err != nil {
		return false, err
	}
	a.wrote.note(next)
	l.rollout = next
	return true, nil
}

// holds: nothing of the Deployment moves by itself. The policy has seen to that already, unless there is none.
func (a *App) holds(ctx context.Context, l *look, _ rollout.Version) (bool, error) {
	if paused, _, _ := unstructured.NestedBool(l.deploy.Object, "spec", "paused"); paused && held(l.deploy) {
		return true, nil
	}
	return false, a.patchDeploy(ctx, l, map[string]any{
		"metadata": map[string]any{"labels": map[string]any{v1alpha1.LabelHeld: "true"}},
		"spec":     map[string]any{"paused": true},
	})
}

// shows: a Service of ours leads to the candidate. A pod in its slices is known to whoever computes slices, so a pin to the candidate
// finds it there. And people can look at the candidate by it.
func (a *App) shows(ctx context.Context, l *look, v rollout.Version) (bool, error) {
	if len(l.pins.Services) == 0 || v != l.state.Candidate || l.weighted != nil && !l.previewed() { // a router's twins show it
		return true, nil
	}
	if l.preview != nil {
		if l.preview.Spec.Selector[service.HashKey] == string(v) {
			return true, nil
		}
		return false, a.dismiss(ctx, l.preview) // of a candidate that was given up
	}
	first := l.pins.Services[0]
	selector := maps.Clone(first.Spec.Selector)
	selector[service.HashKey] = string(v)
	p := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: previewName(l.rollout)}, Spec: corev1.ServiceSpec{Selector: selector}}
	for _, port := range first.Spec.Ports {
		p.Spec.Ports = append(p.Spec.Ports, corev1.ServicePort{
			Name: port.Name, Protocol: port.Protocol, AppProtocol: port.AppProtocol, Port: port.Port, TargetPort: port.TargetPort,
		})
	}
	if len(p.Spec.Ports) == 0 {
		p.Spec.ClusterIP = corev1.ClusterIPNone
	}
	return true, a.create(ctx, l, p)
}

// previewed tells whether people wait at a preview.
func (l *look) previewed() bool {
	s := l.rollout.Spec.Strategy
	return s != nil && s.BlueGreen != nil
}

// create makes a Service of ours, which goes with the Rollout.
func (a *App) create(ctx context.Context, l *look, s *corev1.Service) error {
	s.Namespace = a.Key.Namespace
	s.Labels = map[string]string{"app.kubernetes.io/managed-by": "gapless"}
	s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(l.rollout, v1alpha1.GroupVersion.WithKind("Rollout"))}
	err := a.Client.Create(ctx, s)
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("service %s is not ours, and Gapless needs the name: %w", s.Name, err)
	}
	if err == nil {
		a.wrote.note(s)
	}
	return err
}

// make creates the ReplicaSet of a version. Kubernetes must take it for the Deployment's own before it gets any traffic: see recognised.
func (a *App) make(ctx context.Context, l *look, v rollout.Version, n int) error {
	if v != l.wanted {
		return fmt.Errorf("nothing is left of version %s, and the template is another one", v)
	}
	rs := l.newSet(v, n)
	err := a.Client.Create(ctx, rs)
	if apierrors.IsAlreadyExists(err) {
		return a.clash(ctx, l, rs, v)
	}
	if err == nil {
		a.wrote.note(rs)
	}
	return err
}

// clash finds out whose ReplicaSet has the name. If it is not of this Deployment, the version gets another name.
func (a *App) clash(ctx context.Context, l *look, rs *unstructured.Unstructured, v rollout.Version) error {
	there := &unstructured.Unstructured{}
	there.SetGroupVersionKind(replicaSetKind)
	if err := a.Client.Get(ctx, client.ObjectKeyFromObject(rs), there); err != nil {
		return err
	}
	if owner := metav1.GetControllerOf(there); owner != nil && owner.UID == l.deploy.GetUID() {
		return fmt.Errorf("ReplicaSet %s is there already and is on its way out", rs.GetName())
	}
	if a.taken == nil {
		a.taken = map[rollout.Version]bool{}
	}
	a.taken[v] = true
	return fmt.Errorf("ReplicaSet %s is not ours: the version gets another name", rs.GetName())
}

// newSet is the ReplicaSet as the native controller would make it of the template, but for the name of its hash.
func (l *look) newSet(v rollout.Version, n int) *unstructured.Unstructured {
	template, _, _ := unstructured.NestedMap(l.deploy.Object, "spec", "template")
	_ = unstructured.SetNestedField(template, string(v), "metadata", "labels", hashLabel)
	podLabels, _, _ := unstructured.NestedStringMap(template, "metadata", "labels")
	selector, _, _ := unstructured.NestedMap(l.deploy.Object, "spec", "selector")
	_ = unstructured.SetNestedField(selector, string(v), "matchLabels", hashLabel)

	rs := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"replicas": int64(n), "selector": selector, "template": template,
	}}}
	if n, ok, _ := unstructured.NestedInt64(l.deploy.Object, "spec", "minReadySeconds"); ok {
		_ = unstructured.SetNestedField(rs.Object, n, "spec", "minReadySeconds")
	}
	rs.SetGroupVersionKind(replicaSetKind)
	rs.SetNamespace(l.deploy.GetNamespace())
	rs.SetName(l.deploy.GetName() + "-" + string(v))
	rs.SetLabels(podLabels)
	rs.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "Deployment", Name: l.deploy.GetName(), UID: l.deploy.GetUID(),
		Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
	}})
	return rs
}

// altered tells whether a ReplicaSet goes by the template's name and is not as the template says, as when an admission webhook changed it.
func (l *look) altered(s set) bool { return s.version == l.wanted && s.template != l.template }

// recognised tells whether the native controller takes a ReplicaSet for the one of the template. If it does not, it will make another one
// at the end, and roll everything to that.
func (l *look) recognised(s set) bool {
	if l.altered(s) {
		return false
	}
	observed, _, _ := unstructured.NestedInt64(l.deploy.Object, "status", "observedGeneration")
	revision := s.GetAnnotations()[revisionAnnotation]
	return revision != "" && revision == l.deploy.GetAnnotations()[revisionAnnotation] && observed >= l.deploy.GetGeneration()
}

// stripped: no ReplicaSet carries the count that it was last scaled to by Kubernetes. With it, a complete ReplicaSet of the template would
// have the other one scaled to 0 at once, traffic or not; and either of the two may become the template's.
func (a *App) stripped(ctx context.Context, l *look, v rollout.Version) (bool, error) {
	done := true
	for _, s := range l.sets {
		if s.replicas == 0 && s.version != v {
			continue
		}
		if _, has := s.GetAnnotations()[desiredAnnotation]; !has {
			continue
		}
		done = false
		if _, err := a.patch(ctx, s.Unstructured, map[string]any{"metadata": map[string]any{"annotations": map[string]any{desiredAnnotation: nil, maxAnnotation: nil}}}); err != nil {
			return false, err
		}
	}
	return done, nil
}

// recreates: a Deployment that rolls would be scaled in proportion. The user's own strategy is in the Rollout's status by now.
func (a *App) recreates(ctx context.Context, l *look, _ rollout.Version) (bool, error) {
	if kind, _, _ := unstructured.NestedString(l.deploy.Object, "spec", "strategy", "type"); kind == "Recreate" {
		observed, _, _ := unstructured.NestedInt64(l.deploy.Object, "status", "observedGeneration")
		return observed >= l.deploy.GetGeneration(), nil
	}
	if l.rollout.Status.Kept == nil {
		kept, err := a.keep(ctx, l)
		if err != nil {
			return false, err
		}
		if err := a.status(ctx, l, func(st *v1alpha1.RolloutStatus) { st.Kept = kept }); err != nil {
			return false, err
		}
	}
	return false, a.patchDeploy(ctx, l, map[string]any{"spec": map[string]any{"strategy": map[string]any{"type": "Recreate", "rollingUpdate": nil}}})
}
