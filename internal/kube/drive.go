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
	if s, stands = l.set(v); !stands || s.replicas == n {
		return nil
	}
	return a.patch(ctx, s.Unstructured, map[string]any{"spec": map[string]any{"replicas": n}})
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
	{"show both versions in a Service", (*App).shows},
	{"lead each version by a Service of its own", (*App).leads},
	{"make the ReplicaSet", (*App).made},
	{"have the ReplicaSet recognised", (*App).stamped},
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
		"metadata": map[string]any{"annotations": map[string]any{v1alpha1.AnnotationHeld: "true"}},
		"spec":     map[string]any{"paused": true},
	})
}

// shows: a headless Service of ours selects the pods of both versions. A pod in its slices is known to whoever computes slices,
// so a pin to its version finds it there.
func (a *App) shows(ctx context.Context, l *look, candidate rollout.Version) (bool, error) {
	if len(l.pins.Services) == 0 {
		return true, nil
	}
	if l.shadow == nil {
		selector, _, _ := unstructured.NestedStringMap(l.deploy.Object, "spec", "selector", "matchLabels")
		if len(selector) == 0 {
			return true, nil // only matchExpressions: no Service can select by them
		}
		if err := a.create(ctx, l, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: shadowName(l.rollout)},
			Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: selector},
		}); err != nil {
			return false, err
		}
	}
	if l.preview == nil && strategyOf(l) == rollout.BlueGreen && candidate == l.state.Candidate {
		first := l.pins.Services[0]
		selector := maps.Clone(first.Spec.Selector)
		selector[service.HashKey] = string(candidate)
		p := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: previewName(l.rollout)}, Spec: corev1.ServiceSpec{Selector: selector}}
		for _, port := range first.Spec.Ports {
			p.Spec.Ports = append(p.Spec.Ports, corev1.ServicePort{
				Name: port.Name, Protocol: port.Protocol, AppProtocol: port.AppProtocol, Port: port.Port, TargetPort: port.TargetPort,
			})
		}
		if err := a.create(ctx, l, p); err != nil {
			return false, err
		}
	}
	return true, nil
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

// made: the version has a ReplicaSet, without pods at first.
func (a *App) made(ctx context.Context, l *look, v rollout.Version) (bool, error) {
	if _, stands := l.set(v); stands {
		return true, nil
	}
	if v != l.wanted {
		return false, fmt.Errorf("nothing is left of version %s, and the template is another one", v)
	}
	rs := l.newSet(v)
	err := a.Client.Create(ctx, rs)
	if apierrors.IsAlreadyExists(err) {
		return false, fmt.Errorf("ReplicaSet %s is not of this template: delete it, then Gapless goes on: %w", rs.GetName(), err)
	}
	if err == nil {
		a.wrote.note(rs)
	}
	return false, err
}

// newSet is the ReplicaSet as the native controller would make it of the template, but for the name of its hash.
func (l *look) newSet(v rollout.Version) *unstructured.Unstructured {
	template, _, _ := unstructured.NestedMap(l.deploy.Object, "spec", "template")
	_ = unstructured.SetNestedField(template, string(v), "metadata", "labels", hashLabel)
	podLabels, _, _ := unstructured.NestedStringMap(template, "metadata", "labels")
	selector, _, _ := unstructured.NestedMap(l.deploy.Object, "spec", "selector")
	_ = unstructured.SetNestedField(selector, string(v), "matchLabels", hashLabel)

	rs := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"replicas": int64(0), "selector": selector, "template": template,
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

// stamped: the native controller takes the ReplicaSet for the one of the template. If it did not, it would make another one at the
// end, and roll everything to that.
func (a *App) stamped(_ context.Context, l *look, v rollout.Version) (bool, error) {
	s, stands := l.set(v)
	if v != l.wanted {
		return stands, nil // stable, on the way back
	}
	return stands && l.recognised(s), nil
}

func (l *look) recognised(s set) bool {
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
		if err := a.patch(ctx, s.Unstructured, map[string]any{"metadata": map[string]any{"annotations": map[string]any{desiredAnnotation: nil, maxAnnotation: nil}}}); err != nil {
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
		if err := a.status(ctx, l, func(st *v1alpha1.RolloutStatus) { st.Kept = keep(l) }); err != nil {
			return false, err
		}
	}
	return false, a.patchDeploy(ctx, l, map[string]any{"spec": map[string]any{"strategy": map[string]any{"type": "Recreate", "rollingUpdate": nil}}})
}
