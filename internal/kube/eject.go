package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/controller"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic/weighted"
)

// Drive runs the loop of one Rollout from here, reading from the API server itself, until done says so or ctx ends. It is for the case in
// which no controller is left.
func Drive(ctx context.Context, c client.Client, key types.NamespacedName, say func(string), done func(context.Context) (bool, error)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	wake := make(chan struct{}, 1)
	app := &App{Client: c, Key: key}
	loop := &controller.Loop{
		Platform: app, Wake: wake, Decide: app.decide,
		Say:     func(_ controller.Seen, d rollout.Decision) { say(d.Message) },
		Trouble: func(error, time.Duration) {}, // it tries again, and done or ctx ends it
	}
	ended := make(chan error, 1)
	go func() { ended <- loop.Run(ctx) }()
	for {
		over, err := done(ctx)
		if over || err != nil {
			stop()
			<-ended
			return err
		}
		if err := pause(ctx, time.Second/2); err != nil {
			<-ended
			return err
		}
		app.Stir()
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Ejected tells whether nothing of ours is left on a Deployment and its Rollout is gone.
func Ejected(ctx context.Context, c client.Client, key types.NamespacedName, deployment string) (bool, error) {
	err := c.Get(ctx, key, &v1alpha1.Rollout{})
	if !Gone(err) {
		return false, err
	}
	d, err := Deployment(ctx, c, key.Namespace, deployment)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	_, labelled := d.GetLabels()[v1alpha1.LabelManaged]
	return !labelled && !held(d), nil
}

// Gone tells whether an object does not exist, or not even its kind.
func Gone(err error) bool { return apierrors.IsNotFound(err) || NotInstalled(err) }

// NotInstalled tells whether the cluster does not know the kind.
func NotInstalled(err error) bool { return meta.IsNoMatchError(err) }

// Await asks twice a second until the answer is yes, an error, or ctx ends.
func Await(ctx context.Context, done func(context.Context) (bool, error)) error {
	for {
		if over, err := done(ctx); over || err != nil {
			return err
		}
		if err := pause(ctx, time.Second/2); err != nil {
			return err
		}
	}
}

// DeploymentStands tells whether there is such a Deployment.
func DeploymentStands(ctx context.Context, c client.Client, namespace, name string) (bool, error) {
	_, err := Deployment(ctx, c, namespace, name)
	return err == nil, client.IgnoreNotFound(err)
}

// Deployment reads one as it was written: a template has fields that this program may not know.
func Deployment(ctx context.Context, c client.Reader, namespace, name string) (*unstructured.Unstructured, error) {
	d := &unstructured.Unstructured{}
	d.SetGroupVersionKind(deploymentKind)
	return d, c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, d)
}

// BreakGlass gives a Deployment back of which no Rollout is left: the version that serves gets its capacity and its template back, the
// Services are unpinned, and the Deployment is released to Kubernetes, which ends what else stands. What the user's strategy was is
// lost with the Rollout; Kubernetes' default takes its place if ours still stands there.
func BreakGlass(ctx context.Context, c client.Client, namespace, name string, say func(string)) error {
	key := types.NamespacedName{Namespace: namespace, Name: name}
	for {
		done, err := breakGlassStep(ctx, c, key, say)
		if done || err != nil && !apierrors.IsConflict(err) {
			return err
		}
		if err := pause(ctx, time.Second/2); err != nil {
			return err
		}
	}
}

func breakGlassStep(ctx context.Context, c client.Client, key types.NamespacedName, say func(string)) (bool, error) {
	d, err := Deployment(ctx, c, key.Namespace, key.Name)
	if err != nil {
		return false, err
	}
	a := &App{Client: c, Key: key}
	l := &look{rollout: &v1alpha1.Rollout{}, deploy: d}
	l.rollout.Name, l.rollout.Namespace = key.Name, key.Namespace
	l.rollout.Spec.TargetRef = &v1alpha1.TargetRef{Name: key.Name}
	if err := errors.Join(a.recall(ctx, l), a.lookAtSets(ctx, l), a.lookAtPods(ctx, l), a.lookAtTraffic(ctx, l)); err != nil {
		return false, err
	}
	a.seen = l
	if !held(d) {
		return a.clear(ctx, l)
	}
	serving := l.serves(time.Now())
	s, stands := l.set(serving)
	if !stands {
		return false, fmt.Errorf("no ReplicaSet of Deployment %s has pods that serve: look at kubectl -n %s get rs,pods", key.Name, key.Namespace)
	}
	ready := l.versions(time.Now())[serving].Serving
	switch {
	case s.replicas < l.replicas:
		say(fmt.Sprintf("%s is to serve with %d pods again", s.GetName(), l.replicas))
		_, err := a.patch(ctx, s.Unstructured, map[string]any{"spec": map[string]any{"replicas": l.replicas}})
		return false, err
	case ready < l.replicas:
		return false, nil
	case l.wanted != serving:
		say("the template is to be that of " + s.GetName())
		return false, a.writeBack(ctx, serving, l.wanted)
	}
	all := rollout.Route{Weights: rollout.Weights{serving: 100}, Open: l.weighted == nil && len(l.active()) == 1}
	if err := l.router.Set(ctx, all); err != nil {
		return false, err
	}
	if seen := l.router.Read(); l.weighted != nil && (seen.Grade == rollout.NotYet || !seen.Route.Equal(all)) {
		return false, nil // its traffic comes back first
	}
	for _, o := range l.active() {
		if o.version != serving {
			say(o.GetName() + " is to end")
			if _, err := a.patch(ctx, o.Unstructured, map[string]any{"spec": map[string]any{"replicas": 0}}); err != nil {
				return false, err
			}
		}
	}
	if len(l.active()) > 1 {
		return false, nil
	}
	say("the Deployment is given back to Kubernetes")
	spec := map[string]any{"paused": nil}
	if kind, _, _ := unstructured.NestedString(d.Object, "spec", "strategy", "type"); kind == "Recreate" {
		spec["strategy"] = map[string]any{"type": "RollingUpdate"}
	}
	return false, a.patchDeploy(ctx, l, map[string]any{
		"metadata": map[string]any{"labels": map[string]any{v1alpha1.LabelHeld: nil}},
		"spec":     spec,
	}, released(generation(d)))
}

// recall finds the route object that is still divided for a Deployment whose Rollout is gone, by the marks of what was made beside it.
func (a *App) recall(ctx context.Context, l *look) error {
	var services corev1.ServiceList
	if err := a.Client.List(ctx, &services, client.InNamespace(a.Key.Namespace)); err != nil {
		return err
	}
	for i := range services.Items {
		s := &services.Items[i]
		owners := s.GetOwnerReferences()
		if isTwin(s) && len(owners) == 1 && owners[0].UID == l.deploy.GetUID() {
			l.rollout.Name = s.Labels[v1alpha1.LabelRollout]
		}
	}
	for _, r := range routers {
		list, err := a.list(ctx, r.kind)
		if err != nil {
			return err
		}
		for _, o := range list {
			if weighted.Of(o, v1alpha1.AnnotationRoute) == l.rollout.Name {
				l.rollout.Spec.Traffic = r.call(o.GetName())
			}
		}
	}
	return nil
}

// serves is the version that has the traffic: the one that the Services are pinned to, else the one with the most serving pods.
func (l *look) serves(now time.Time) rollout.Version {
	for _, s := range l.pins.Services {
		if pin := s.Spec.Selector[hashLabel]; pin != "" {
			return rollout.Version(pin)
		}
	}
	var best rollout.Version
	most := 0
	for v, st := range l.versions(now) {
		if st.Serving > most || st.Serving == most && v < best {
			best, most = v, st.Serving
		}
	}
	return best
}

// clear takes the marks off a Deployment that is not held.
func (a *App) clear(ctx context.Context, l *look) (bool, error) {
	if l.weighted == nil {
		if err := l.pins.Set(ctx, rollout.Route{Open: true}); err != nil {
			return false, err
		}
	}
	if _, labelled := l.deploy.GetLabels()[v1alpha1.LabelManaged]; labelled {
		return false, a.patchDeploy(ctx, l, label(l.deploy, nil))
	}
	return l.router.Forget(ctx)
}
