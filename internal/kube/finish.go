package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/controller"
	"gapless.dev/gapless/internal/rollout"
)

// inHand tells whether anything of the user's objects is not as at rest, or anything of ours still stands.
func (a *App) inHand(l *look) bool {
	for _, s := range l.sets {
		if copied(s) {
			return true
		}
	}
	return held(l.deploy) || l.rollout.Status.Kept != nil || l.preview != nil ||
		l.router.Marked() || controllerutil.ContainsFinalizer(l.rollout, v1alpha1.Finalizer)
}

// copied tells whether Kubernetes has copied an annotation of ours to a ReplicaSet.
func copied(s set) bool {
	_, has := s.GetAnnotations()[v1alpha1.AnnotationStrategy]
	return has
}

// release gives the app back as its user wrote it. What was written last goes first; each part is seen before the next.
func (a *App) release(ctx context.Context, v rollout.Version) error {
	l := a.seen
	if l.wanted != v {
		return nil // another template came: nothing is let go unchecked
	}
	for _, s := range l.active() {
		if s.version != v {
			return nil
		}
	}
	if held(l.deploy) {
		s, stands := l.set(v)
		if !stands {
			// Of an app with 0 replicas nothing was ever scaled. Without a ReplicaSet of ours Kubernetes would make one, under another name.
			return a.make(ctx, l, v, 0)
		}
		if l.altered(s) {
			return fmt.Errorf("ReplicaSet %s was made of the template and is not as the template says any more, as if an admission webhook changed it: "+
				"Kubernetes would make another one and roll everything to that", s.GetName())
		}
		if !l.recognised(s) {
			return nil // seen at a later look
		}
		return a.unhold(ctx, l)
	}
	for _, s := range l.sets {
		if !copied(s) {
			continue
		}
		if _, err := a.patch(ctx, s.Unstructured, map[string]any{"metadata": map[string]any{"annotations": map[string]any{v1alpha1.AnnotationStrategy: nil}}}); err != nil {
			return err
		}
	}
	if done, err := l.router.Forget(ctx); !done || err != nil {
		return err
	}
	if err := a.dismiss(ctx, l.preview); err != nil || !l.undisturbed {
		return err
	}
	return a.unmark(ctx, l)
}

// unhold is the one write that lets the Deployment go: strategy back, unpaused, in the name of the generation that was checked.
func (a *App) unhold(ctx context.Context, l *look) error {
	spec := map[string]any{"paused": nil}
	if pausedAtRest(l.deploy) {
		spec["paused"] = true
	}
	if k := l.rollout.Status.Kept; k != nil {
		strategy := map[string]any{"rollingUpdate": nil}
		if err := json.Unmarshal(l.strategyText(k), &strategy); err != nil {
			return fmt.Errorf("status.kept.strategy: %w", err)
		}
		spec["strategy"] = strategy
	}
	return a.patchDeploy(ctx, l, map[string]any{
		"metadata": map[string]any{"labels": map[string]any{v1alpha1.LabelHeld: nil}, "annotations": map[string]any{v1alpha1.AnnotationStrategy: nil}},
		"spec":     spec,
	}, released(generation(l.deploy)))
}

func generation(deploy *unstructured.Unstructured) string {
	return strconv.FormatInt(deploy.GetGeneration(), 10)
}

// dismiss deletes a Service of ours.
func (a *App) dismiss(ctx context.Context, s *corev1.Service) error {
	if s == nil {
		return nil
	}
	if err := client.IgnoreNotFound(a.Client.Delete(ctx, s, client.Preconditions{UID: &s.UID})); err != nil {
		return err
	}
	a.wrote.deleted(s)
	return nil
}

// unmark forgets what was kept, and takes the finalizer off.
func (a *App) unmark(ctx context.Context, l *look) error {
	if l.rollout.Status.Kept != nil {
		var rest *unsaid
		if err := a.status(ctx, l, func(st *v1alpha1.RolloutStatus) {
			st.Kept, st.BreakGlass = nil, ""
			rest = a.sayAtRest(l, st)
		}); err != nil {
			return err
		}
		if rest != nil {
			a.state, a.unsaid = rest.decision.State, rest
		}
	}
	if !controllerutil.ContainsFinalizer(l.rollout, v1alpha1.Finalizer) {
		return nil
	}
	if l.rollout.DeletionTimestamp != nil {
		// With the finalizer the Rollout goes, and with it what we know: the Deployment is let go first.
		if err := a.unlabel(ctx, l); err != nil {
			return err
		}
	}
	return a.unbind(ctx, l)
}

// unbind takes the finalizer off.
func (a *App) unbind(ctx context.Context, l *look) error {
	next := l.rollout.DeepCopy()
	controllerutil.RemoveFinalizer(next, v1alpha1.Finalizer)
	if err := a.Client.Patch(ctx, next, client.MergeFromWithOptions(l.rollout, client.MergeFromWithOptimisticLock{})); err != nil {
		return client.IgnoreNotFound(err)
	}
	if next.DeletionTimestamp == nil {
		a.wrote.note(next)
	}
	l.rollout = next
	return nil
}

// sayAtRest puts into the last status of a revision what the engine will say at the next look, which then has nothing to save. It returns nil
// where the next look has more to do than to say something.
func (a *App) sayAtRest(l *look, st *v1alpha1.RolloutStatus) *unsaid {
	next := a.shown
	next.Taken = false
	d := a.decide(planOf(l), a.state, next)
	if len(d.Actions) > 0 || !reflect.DeepEqual(d.State.Essence(), a.state.Essence()) {
		return nil
	}
	raw, err := json.Marshal(d.State)
	if err != nil {
		return nil // plain values can be encoded
	}
	st.Engine = &runtime.RawExtension{Raw: raw}
	a.describe(l, st, d.State)
	return &unsaid{controller.Seen{Plan: planOf(l), State: a.state, Snapshot: next}, d}
}

// An unsaid decision was saved before the loop came to it, which therefore has nothing new to say.
type unsaid struct {
	seen     controller.Seen
	decision rollout.Decision
}

// letGo is what a deleted Rollout still does: a refused template that is held is written back, so that the Deployment can be released.
func (a *App) letGo(ctx context.Context, l *look) error {
	if l.state.Phase == rollout.Held && l.wanted == l.state.Rejected {
		a.seen, a.state = l, l.state
		return a.writeBack(ctx, l.state.Stable, l.state.Rejected)
	}
	return nil
}

// unlabel takes the last of ours off the Deployment.
func (a *App) unlabel(ctx context.Context, l *look) error {
	if _, has := l.deploy.GetLabels()[v1alpha1.LabelManaged]; !has {
		return nil
	}
	return a.patchDeploy(ctx, l, label(l.deploy, nil))
}

// writeBack makes the template a version's again, where it still is that of the version it replaces.
func (a *App) writeBack(ctx context.Context, v, over rollout.Version) error {
	l := a.seen
	s, stands := l.set(v)
	switch {
	case l.wanted != over:
		return nil
	case !stands:
		return fmt.Errorf("no ReplicaSet of version %s is left to take the template from", v)
	}
	if a.state.Phase == rollout.Aborting && a.state.Aborted != nil && a.state.Aborted.Refused {
		if err := a.fail(ctx, l); err != nil {
			return err
		}
	}
	template, _, _ := unstructured.NestedMap(s.Object, "spec", "template")
	unstructured.RemoveNestedField(template, "metadata", "labels", hashLabel)
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/resourceVersion", "value": l.deploy.GetResourceVersion()},
		{"op": "replace", "path": "/spec/template", "value": template},
	})
	if err != nil {
		return err
	}
	if err := a.Client.Patch(ctx, l.deploy, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return err
	}
	a.wrote.note(l.deploy)
	return nil
}

// fail says in the Deployment's status that the refused version made no progress, so that "kubectl rollout status" ends.
func (a *App) fail(ctx context.Context, l *look) error {
	conditions, _, _ := unstructured.NestedSlice(l.deploy.Object, "status", "conditions")
	now := a.now().UTC().Format(time.RFC3339)
	failed := map[string]any{
		"type": string(appsv1.DeploymentProgressing), "status": string(metav1.ConditionFalse), "reason": "ProgressDeadlineExceeded",
		"message": "Gapless took it back: " + a.inWords(l, a.state).Aborted.Message, "lastUpdateTime": now, "lastTransitionTime": now,
	}
	next := []any{failed}
	for _, c := range conditions {
		m, _ := c.(map[string]any)
		if m["type"] != string(appsv1.DeploymentProgressing) {
			next = append(next, c)
			continue
		}
		if m["reason"] == failed["reason"] {
			return nil
		}
	}
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": l.deploy.GetResourceVersion()},
		"status":   map[string]any{"conditions": next},
	})
	if err != nil {
		return err
	}
	if err := a.Client.Status().Patch(ctx, l.deploy, client.RawPatch(types.MergePatchType, body)); err != nil {
		return err
	}
	a.wrote.note(l.deploy)
	return nil
}

// remove deletes the ReplicaSet of a version that has no pods any more, so that Kubernetes never takes it for one to wake.
func (a *App) remove(ctx context.Context, v rollout.Version) error {
	s, stands := a.seen.set(v)
	if !stands || s.replicas != 0 {
		return nil
	}
	uid, version := s.GetUID(), s.GetResourceVersion()
	err := a.Client.Delete(ctx, s.Unstructured, client.Preconditions{UID: &uid, ResourceVersion: &version}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if err == nil || apierrors.IsNotFound(err) {
		a.wrote.deleted(s)
		return nil
	}
	return err
}
