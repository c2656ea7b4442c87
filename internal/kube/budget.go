package kube

import (
	"context"
	"encoding/json"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
)

// protect keeps a drained node from evicting all that serves while two versions stand. A PodDisruptionBudget counts the pods of both, and
// expects those of one; an idle candidate beside stable would make it allow the eviction of stable. So for that time the user's
// is set to allow one pod of all; where there is none, one of ours stands. A second one beside the user's would make every eviction fail.
func (a *App) protect(ctx context.Context, l *look) error {
	l.undisturbed = true
	if l.rollout.Status.Kept == nil {
		return nil
	}
	var all policyv1.PodDisruptionBudgetList
	if err := a.Client.List(ctx, &all, client.InNamespace(a.Key.Namespace)); err != nil {
		return err
	}
	podLabels, _, _ := unstructured.NestedStringMap(l.deploy.Object, "spec", "template", "metadata", "labels")
	var theirs []*policyv1.PodDisruptionBudget
	var ours *policyv1.PodDisruptionBudget
	seen := map[string]bool{}
	for i := range all.Items {
		b := &all.Items[i]
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		switch {
		case metav1.IsControlledBy(b, l.rollout):
			ours = b
		case err == nil && !selector.Empty() && selector.Matches(labels.Set(podLabels)):
			theirs = append(theirs, b)
		}
		seen[nameOf(b)] = true
		if a.wrote.behind(b) {
			l.undisturbed = false
		}
	}
	if a.wrote.missing("*v1.PodDisruptionBudget", seen) != "" || !l.undisturbed {
		l.undisturbed = false
		return nil // the cache shows what we wrote in a moment, and that is another look
	}
	switch active := l.active(); {
	case len(theirs) == 1:
		return a.lend(ctx, l, theirs[0], len(active) > 1)
	case len(theirs) > 1:
		return nil // every eviction fails as it is
	case len(active) > 1 && ours == nil:
		l.undisturbed = false
		return a.createBudget(ctx, l)
	case len(active) > 1 && ours.Spec.MinAvailable.IntValue() != l.allButOne():
		l.undisturbed = false
		return a.setBudget(ctx, ours, policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(int32(l.allButOne())))})
	case len(active) <= 1 && ours != nil:
		l.undisturbed = false
		if err := client.IgnoreNotFound(a.Client.Delete(ctx, ours, client.Preconditions{UID: &ours.UID})); err != nil {
			return err
		}
		a.wrote.deleted(ours)
	}
	return nil
}

// allButOne of the pods that are asked for.
func (l *look) allButOne() int {
	total := 0
	for _, s := range l.sets {
		total += s.replicas
	}
	return max(0, total-1)
}

// lend sets the user's budget for the time of two versions, and back.
func (a *App) lend(ctx context.Context, l *look, b *policyv1.PodDisruptionBudget, two bool) error {
	kept := map[string]policyv1.PodDisruptionBudgetSpec{}
	if raw := l.rollout.Status.Kept.Disruption; raw != nil {
		if err := json.Unmarshal(raw.Raw, &kept); err != nil {
			return err
		}
	}
	original, has := kept[b.Name]
	if !has {
		if !two {
			return nil
		}
		kept[b.Name] = policyv1.PodDisruptionBudgetSpec{MinAvailable: b.Spec.MinAvailable, MaxUnavailable: b.Spec.MaxUnavailable}
		raw, err := json.Marshal(kept)
		if err != nil {
			return err
		}
		return a.status(ctx, l, func(st *v1alpha1.RolloutStatus) { st.Kept.Disruption = &runtime.RawExtension{Raw: raw} })
	}
	want := original
	if two {
		want = policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(int32(l.allButOne())))}
	}
	if equality.Semantic.DeepEqual(want.MinAvailable, b.Spec.MinAvailable) && equality.Semantic.DeepEqual(want.MaxUnavailable, b.Spec.MaxUnavailable) {
		return nil
	}
	l.undisturbed = false
	return a.setBudget(ctx, b, want)
}

func (a *App) setBudget(ctx context.Context, b *policyv1.PodDisruptionBudget, want policyv1.PodDisruptionBudgetSpec) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": b.ResourceVersion},
		"spec":     map[string]any{"minAvailable": want.MinAvailable, "maxUnavailable": want.MaxUnavailable},
	})
	if err != nil {
		return err
	}
	if err := a.Client.Patch(ctx, b, client.RawPatch(types.MergePatchType, body)); err != nil {
		return err
	}
	a.wrote.note(b)
	return nil
}

func (a *App) createBudget(ctx context.Context, l *look) error {
	matchLabels, _, _ := unstructured.NestedStringMap(l.deploy.Object, "spec", "selector", "matchLabels")
	if len(matchLabels) == 0 {
		return nil
	}
	b := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{
			Name: shadowName(l.rollout), Namespace: a.Key.Namespace, Labels: map[string]string{"app.kubernetes.io/managed-by": "gapless"},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(l.rollout, v1alpha1.GroupVersion.WithKind("Rollout"))},
		},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: new(intstr.FromInt32(int32(l.allButOne()))), Selector: &metav1.LabelSelector{MatchLabels: matchLabels},
		},
	}
	if err := a.Client.Create(ctx, b); err != nil {
		return err
	}
	a.wrote.note(b)
	return nil
}
