package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/service"
	"gapless.dev/gapless/internal/traffic/weighted"
)

// traffic is what divides it. For the time of a revision that is the route that it began with; how its data plane is asked may change.
func (l *look) traffic() *v1alpha1.Traffic {
	now := l.rollout.Spec.Traffic
	if k := l.rollout.Status.Kept; k != nil && routeKey(k.Traffic) != routeKey(now) {
		return k.Traffic
	}
	return now
}

// lookAtRoute opens the router that the Rollout names.
func (a *App) lookAtRoute(ctx context.Context, l *look) error {
	t := l.traffic()
	if t == nil {
		l.router = l.pins
		return nil
	}
	r, name, err := routerOf(t)
	if err != nil {
		return err
	}
	w := &weighted.Router{
		Client: a.Client, Field: r.field, Mark: v1alpha1.AnnotationRoute, User: l.pins, Twins: l.twins, Rest: l.rests(a.now()),
		App: traffic.App{
			Namespace: a.Key.Namespace, Name: l.rollout.Name, Services: l.pins.Services, Revision: l.state.Revision,
			Theirs: addresses(l.pins), Twins: addresses(l.twins),
		},
		Settle: drainOf(l.rollout), Stands: l.stands(a.now()),
		Own:     func(o client.Object) { l.own(o) },
		Wrote:   func(o client.Object) { a.wrote.note(o) },
		Deleted: func(o client.Object) { a.wrote.deleted(o) },
	}
	l.router, l.weighted = w, w
	if w.Object, w.Missing, err = a.route(ctx, r, name); err != nil {
		return err
	}
	if w.Object != nil {
		a.fresh(l, w.Object)
	}
	if w.Kind, err = r.open(ctx, a, t, w.Object); err != nil {
		return err
	}
	if w.Companions, err = a.companions(ctx, l, w.Kind); err != nil {
		return err
	}
	if l.behind == "" {
		w.Ask(ctx)
	}
	return nil
}

// slow bounds the reading of a kind for the first time: what may not be read is waited for without end.
const slow = 10 * time.Second

// route reads a route object, or says in words why there is none.
func (a *App) route(ctx context.Context, r routed, name string) (*unstructured.Unstructured, *traffic.Problem, error) {
	ctx, stop := context.WithTimeout(ctx, slow)
	defer stop()
	if err := a.watch(ctx, r.kind); NotInstalled(err) {
		return nil, notInstalled(r), nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("watch %s: %w", r.kind.Kind, err)
	}
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(r.kind)
	err := a.Client.Get(ctx, types.NamespacedName{Namespace: a.Key.Namespace, Name: name}, o)
	switch {
	case apierrors.IsNotFound(err):
		return nil, &traffic.Problem{Reason: traffic.ReasonRouteMissing, Text: fmt.Sprintf(
			"%s: there is no %s %s in namespace %s; create it, or name another", r.field, r.kind.Kind, name, a.Key.Namespace)}, nil
	case NotInstalled(err):
		return nil, notInstalled(r), nil
	case err != nil:
		return nil, nil, fmt.Errorf("read %s %s: %w", r.kind.Kind, name, err)
	}
	return o.DeepCopy(), nil, nil
}

func notInstalled(r routed) *traffic.Problem {
	return &traffic.Problem{Reason: traffic.ReasonRouterNotInstalled, Text: fmt.Sprintf(
		"%s: the cluster does not know %s of %s; install %s, or leave the field out", r.field, r.kind.Kind, r.kind.GroupVersion(), r.installs)}
}

// watch has the app stirred when an object of the kind changes.
func (a *App) watch(ctx context.Context, kind schema.GroupVersionKind) error {
	if a.Watch == nil {
		return nil
	}
	return a.Watch(ctx, kind)
}

// companions are our objects beside the user's route.
func (a *App) companions(ctx context.Context, l *look, k traffic.Kind) ([]*unstructured.Unstructured, error) {
	c, has := k.(traffic.Companion)
	if !has {
		return nil, nil
	}
	var all []*unstructured.Unstructured
	for _, kind := range c.Companions() {
		list, err := a.list(ctx, kind, client.MatchingLabels{v1alpha1.LabelRollout: l.rollout.Name})
		if err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		if o := l.weighted.Object; o != nil {
			seen[nameOf(o)] = true // it has a look of its own
		}
		for _, o := range list {
			a.fresh(l, o)
			if seen[nameOf(o)] = true; o.GetDeletionTimestamp() == nil {
				all = append(all, o)
			}
		}
		if missing := a.wrote.missing(kind.Kind, seen); missing != "" {
			l.behind = missing
		}
	}
	return all, nil
}

// list is what there is of a kind in the namespace; none where the cluster does not know the kind.
func (a *App) list(ctx context.Context, kind schema.GroupVersionKind, which ...client.ListOption) ([]*unstructured.Unstructured, error) {
	ctx, stop := context.WithTimeout(ctx, slow)
	defer stop()
	if err := a.watch(ctx, kind); NotInstalled(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("watch %s: %w", kind.Kind, err)
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	if err := a.Client.List(ctx, list, append(which, client.InNamespace(a.Key.Namespace))...); NotInstalled(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list %s: %w", kind.Kind, err)
	}
	var all []*unstructured.Unstructured
	for i := range list.Items {
		all = append(all, list.Items[i].DeepCopy())
	}
	return all, nil
}

// own marks an object as one that is ours for the time of a revision. It goes with the Deployment, and not with the Rollout: a route may name it.
func (l *look) own(o client.Object) {
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[managedByLabel], labels[v1alpha1.LabelRollout] = "gapless", l.rollout.Name
	o.SetLabels(labels)
	o.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "Deployment", Name: l.deploy.GetName(), UID: l.deploy.GetUID(),
	}})
}

const managedByLabel = "app.kubernetes.io/managed-by"

// isTwin tells whether a Service is one that we made beside a Service of the user.
func isTwin(s *corev1.Service) bool {
	return s.Labels[managedByLabel] == "gapless" && s.Labels[v1alpha1.LabelRollout] != ""
}

// rests is the version that Services lead to while they are not pinned.
func (l *look) rests(at time.Time) rollout.Version {
	if l.state.Stable != "" {
		return l.state.Stable
	}
	return l.serves(at)
}

// stands tells for how long a pod has been ready.
func (l *look) stands(now time.Time) func(pod string) time.Duration {
	since := map[string]time.Time{}
	for _, pods := range l.pods {
		for _, p := range pods {
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
					since[p.Name] = c.LastTransitionTime.Time
				}
			}
		}
	}
	return func(pod string) time.Duration {
		if at, known := since[pod]; known {
			return now.Sub(at)
		}
		return 0
	}
}

// addresses of the ready endpoints that a router's Services lead to.
func addresses(r *service.Router) map[string]bool {
	all := map[string]bool{}
	for _, slices := range r.Slices {
		for _, slice := range slices {
			for _, e := range slice.Endpoints {
				if ready(e) {
					for _, address := range e.Addresses {
						all[address] = true
					}
				}
			}
		}
	}
	return all
}

func ready(e discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }

// routable refuses at rest what the router cannot do, and says it while a revision is under way.
func (a *App) routable(ctx context.Context, l *look) error {
	err := l.router.Check(planOf(l))
	var p *traffic.Problem
	if !errors.As(err, &p) {
		return err
	}
	if l.rollout.Status.Kept == nil {
		return a.refuse(ctx, l, p.Reason, "%s", p.Text)
	}
	a.warn(l, p.Reason, "Route", p.Text)
	return nil
}

// leads: each version has a Service that leads to it alone, before there are pods of two.
func (a *App) leads(ctx context.Context, l *look, v rollout.Version) (bool, error) {
	if l.weighted == nil {
		return true, nil
	}
	return l.weighted.Prepare(ctx, v)
}
