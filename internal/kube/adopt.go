package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// native tells whether Kubernetes itself carries the strategy out, and we look on.
func native(s rollout.Strategy) bool { return s == rollout.Rolling || s == rollout.Recreate }

// managed is what the label of the Deployment is to say.
func managed(l *look) string {
	switch {
	case native(strategyOf(l)):
		return v1alpha1.ManagedNatively
	case pausedAtRest(l.deploy):
		return v1alpha1.ManagedByPause
	}
	return v1alpha1.ManagedByPolicy
}

// contradicts says how spec.strategy and the Deployment's own are at odds where Kubernetes goes by the latter; else it is empty.
func (l *look) contradicts() string {
	asked, own := askedFor(l), l.userStrategy().Type
	want := appsv1.RollingUpdateDeploymentStrategyType
	if asked == rollout.Recreate {
		want = appsv1.RecreateDeploymentStrategyType
	}
	if own == "" {
		own = appsv1.RollingUpdateDeploymentStrategyType
	}
	if !native(asked) || own == want {
		return ""
	}
	return fmt.Sprintf("spec.strategy.%s: Kubernetes carries it out by the strategy of Deployment %s, which is %s; set its spec.strategy.type to %s, or choose another strategy",
		asked, l.deploy.GetName(), own, want)
}

func pausedNow(deploy *unstructured.Unstructured) bool {
	paused, _, _ := unstructured.NestedBool(deploy.Object, "spec", "paused")
	return paused
}

func pausedAtRest(deploy *unstructured.Unstructured) bool {
	return deploy.GetLabels()[v1alpha1.LabelManaged] == v1alpha1.ManagedByPause
}

// label sets the label, or takes it off. The pause that went with the old one goes with it.
func label(deploy *unstructured.Unstructured, value any) map[string]any {
	change := map[string]any{"metadata": map[string]any{"labels": map[string]any{v1alpha1.LabelManaged: value}}}
	switch {
	case value == v1alpha1.ManagedByPause:
		change["spec"] = map[string]any{"paused": true}
	case pausedAtRest(deploy):
		change["spec"] = map[string]any{"paused": nil}
	}
	return change
}

// adopt sees that the Deployment is in our care, or refuses.
func (a *App) adopt(ctx context.Context, l *look) error {
	if l.rollout.DeletionTimestamp != nil {
		return a.letGo(ctx, l)
	}
	if owner := metav1.GetControllerOf(l.deploy); owner != nil {
		return a.refuse(ctx, l, v1alpha1.ReasonTargetOwned, "Deployment %s is owned by %s %s, which would write over what Gapless writes", l.deploy.GetName(), owner.Kind, owner.Name)
	}
	if err := a.alone(ctx, l); err != nil {
		return err
	}
	if err := a.routable(ctx, l); err != nil {
		return err
	}
	if text := l.contradicts(); text != "" && !a.inHand(l) {
		return a.refuse(ctx, l, v1alpha1.ReasonAnotherStrategy, "%s", text)
	}
	if err := a.strangers(ctx, l); err != nil {
		return err
	}
	if l.deploy.GetLabels()[v1alpha1.LabelManaged] != managed(l) && !held(l.deploy) {
		if err := a.patchDeploy(ctx, l, label(l.deploy, managed(l))); err != nil {
			return fmt.Errorf("adopt %s: %w", l.deploy.GetName(), err)
		}
	}
	if err := a.prove(ctx, l); err != nil {
		return err
	}
	return a.status(ctx, l, func(st *v1alpha1.RolloutStatus) {
		st.Adopted = adoptedOf(l)
		for _, c := range []metav1.Condition{
			{Type: v1alpha1.ConditionAdopted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAdopted, Message: fmt.Sprintf("Deployment %s is rolled by this Rollout", l.deploy.GetName())},
			a.guardCondition(l),
		} {
			c.ObservedGeneration = l.rollout.Generation
			meta.SetStatusCondition(&st.Conditions, c)
		}
	})
}

// alone refuses what another Rollout has already.
func (a *App) alone(ctx context.Context, l *look) error {
	rollouts := func() *v1alpha1.RolloutList { return &v1alpha1.RolloutList{} }
	lists, err := find(ctx, a, rollouts, byTarget, l.rollout.Target())
	if err != nil {
		return err
	}
	for o := range a.others(l, lists) {
		if o.Target() == l.rollout.Target() {
			return a.refuse(ctx, l, v1alpha1.ReasonTargetTaken, "Rollout %s rolls Deployment %s already; delete one of the two", o.Name, o.Target())
		}
	}
	if lists, err = find(ctx, a, rollouts, byRoute, routeKey(l.rollout.Spec.Traffic)); err != nil {
		return err
	}
	for o := range a.others(l, lists) {
		if key := routeKey(o.Spec.Traffic); key != "" && key == routeKey(l.rollout.Spec.Traffic) {
			r, name, err := routerOf(o.Spec.Traffic)
			if err != nil {
				return err
			}
			return a.refuse(ctx, l, v1alpha1.ReasonRouteTaken, "%s: Rollout %s divides %s %s already; give each app a route object of its own", r.field, o.Name, r.kind.Kind, name)
		}
	}
	for _, s := range l.pins.Services {
		if lists, err = find(ctx, a, rollouts, byAdopted, pairOf(s.Spec.Selector)); err != nil {
			return err
		}
		for o := range a.others(l, lists) {
			if ad := o.Status.Adopted; ad != nil && leadsTo(s, ad.MatchLabels) {
				return a.refuse(ctx, l, v1alpha1.ReasonServiceShared, "Service %s leads to the pods of Rollout %s too: to pin it would cut those off; name others in spec.services", s.Name, o.Name)
			}
		}
	}
	return nil
}

// routeKey is the same for two Rollouts that name the same route object, and "" for one that names none.
func routeKey(t *v1alpha1.Traffic) string {
	if t == nil {
		return ""
	}
	r, name, err := routerOf(t)
	if err != nil {
		return ""
	}
	return r.field + " " + name
}

// strangers refuses a Service that leads to pods of others: to pin it would cut those off. Midway it is too late to ask.
func (a *App) strangers(ctx context.Context, l *look) error {
	if native(strategyOf(l)) || rollout.Active(l.state.Phase) {
		return nil
	}
	for _, s := range l.pins.Services {
		for _, slice := range l.pins.Slices[s.Name] {
			for _, e := range slice.Endpoints {
				if e.TargetRef == nil || e.TargetRef.Kind != "Pod" || l.pins.Version(e.TargetRef.Name) != "" {
					continue
				}
				var p corev1.Pod
				err := a.Client.Get(ctx, types.NamespacedName{Namespace: a.Key.Namespace, Name: e.TargetRef.Name}, &p)
				if apierrors.IsNotFound(err) || err == nil && (p.DeletionTimestamp != nil || deploymentOfPod(&p) == l.deploy.GetName()) {
					continue
				}
				if err != nil {
					return err
				}
				return a.refuse(ctx, l, v1alpha1.ReasonServiceShared, "Service %s leads to pod %s too, which is not of Deployment %s: to pin it would cut that off; name others in spec.services", s.Name, p.Name, l.deploy.GetName())
			}
		}
	}
	return nil
}

// others are the Rollouts that were there before this one.
func (a *App) others(l *look, lists []*v1alpha1.RolloutList) iter.Seq[*v1alpha1.Rollout] {
	return func(yield func(*v1alpha1.Rollout) bool) {
		for _, list := range lists {
			for i := range list.Items {
				o := &list.Items[i]
				if o.Name != a.Key.Name && o.DeletionTimestamp == nil && before(o, l.rollout) && !yield(o) {
					return
				}
			}
		}
	}
}

func before(x, y *v1alpha1.Rollout) bool {
	if !x.CreationTimestamp.Equal(&y.CreationTimestamp) {
		return x.CreationTimestamp.Before(&y.CreationTimestamp)
	}
	return x.Name < y.Name
}

// prove finds out by a dry run what becomes of a changed template, once for each start of the controller. Where it is not held, the
// Deployment is paused at rest from then on.
func (a *App) prove(ctx context.Context, l *look) error {
	if a.proved || managed(l) != v1alpha1.ManagedByPolicy || held(l.deploy) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{"gapless.dev/proof": "dry-run"}}}}})
	if err != nil {
		return err
	}
	tried := l.deploy.DeepCopy()
	if err := a.Client.Patch(ctx, tried, client.RawPatch(types.MergePatchType, patch), client.DryRunAll); err != nil {
		return fmt.Errorf("prove the guard of %s: %w", l.deploy.GetName(), err)
	}
	if a.proved = held(tried); a.proved {
		return nil
	}
	// The API server hears of a new policy, and of the label, a moment after they were written.
	if a.doubted.IsZero() {
		a.doubted = a.now()
	}
	if a.now().Sub(a.doubted) < slowPolicy {
		return errNotHeld
	}
	return a.patchDeploy(ctx, l, label(l.deploy, v1alpha1.ManagedByPause))
}

// slowPolicy is how long a policy may take to be in force.
const slowPolicy = 8 * time.Second

var errNotHeld = errors.New("a dry run was not held by the policy gapless-guard yet")

func (a *App) guardCondition(l *look) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionGuarded, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonProven, Message: "a changed template is held by the policy gapless-guard"}
	switch {
	case managed(l) == v1alpha1.ManagedNatively:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonNative, "Kubernetes itself carries this strategy out"
	case pausedAtRest(l.deploy):
		c.Reason, c.Message = v1alpha1.ReasonHoldMode, "the Deployment is kept paused at rest; kubectl rollout resume would roll it natively"
	case l.unguarded():
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonUnguarded, "the changed template was started by Kubernetes before Gapless could drive it; is the policy gapless-guard there?"
	}
	return c
}

// unguarded tells whether pods of a changed template run on a Deployment that nobody held.
func (l *look) unguarded() bool {
	s, stands := l.set(l.wanted)
	return stands && s.replicas > 0 && l.state.Stable != "" && l.wanted != l.state.Stable && !held(l.deploy)
}

func held(deploy *unstructured.Unstructured) bool {
	_, ok := deploy.GetLabels()[v1alpha1.LabelHeld]
	return ok
}

// patchDeploy merges into the Deployment as it was seen, or fails with a conflict.
func (a *App) patchDeploy(ctx context.Context, l *look, change map[string]any, opts ...client.PatchOption) error {
	written, err := a.patch(ctx, l.deploy, change, opts...)
	if err == nil {
		l.deploy = written
	}
	return err
}

// patch merges into an object as it was seen, or fails with a conflict. The object itself may be the cache's and is left alone; what was
// written is returned.
func (a *App) patch(ctx context.Context, o *unstructured.Unstructured, change map[string]any, opts ...client.PatchOption) (*unstructured.Unstructured, error) {
	metadata, _ := change["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["resourceVersion"] = o.GetResourceVersion()
	change["metadata"] = metadata
	body, err := json.Marshal(change)
	if err != nil {
		return nil, err
	}
	written := o.DeepCopy()
	if err := a.Client.Patch(ctx, written, client.RawPatch(types.MergePatchType, body), opts...); err != nil {
		return nil, err
	}
	a.wrote.note(written)
	return written, nil
}

// released has the policies let a write through that was decided on what was seen at that generation or version.
func released(at string) client.PatchOption { return client.FieldOwner(v1alpha1.ReleaseManager + at) }
