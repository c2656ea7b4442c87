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
	"gapless.dev/gapless/internal/rollout"
)

// budgets are the PodDisruptionBudgets that speak of the app's pods.
type budgets struct {
	theirs []*policyv1.PodDisruptionBudget
	ours   *policyv1.PodDisruptionBudget
	behind bool // the cache does not show what we wrote yet
}

func (a *App) lookAtBudgets(ctx context.Context, l *look) (budgets, error) {
	var b budgets
	lists, err := find(ctx, a, func() *policyv1.PodDisruptionBudgetList { return &policyv1.PodDisruptionBudgetList{} }, byPair, append(pairsOf(l.podLabels()), anyPod)...)
	if err != nil {
		return b, err
	}
	seen := map[string]bool{}
	for _, list := range lists {
		for i := range list.Items {
			o := &list.Items[i]
			switch {
			case metav1.IsControlledBy(o, l.rollout):
				b.ours = o
			case Protects(o, l.podLabels()):
				b.theirs = append(b.theirs, o)
			}
			seen[nameOf(o)] = true
			b.behind = a.wrote.behind(o) || b.behind
		}
	}
	b.behind = a.wrote.missing("*v1.PodDisruptionBudget", seen) != "" || b.behind
	return b, nil
}

// protect keeps a drained node from evicting all that serves while two versions stand. A PodDisruptionBudget counts the pods of both, and
// expects those of one; an idle candidate beside stable would make it allow the eviction of stable. So for that time the user's
// is set to allow one pod of all; where there is none, one of ours stands. A second one beside the user's would make every eviction fail.
func (a *App) protect(ctx context.Context, l *look) error {
	l.undisturbed = true
	if l.rollout.Status.Kept == nil {
		return nil
	}
	b, err := a.lookAtBudgets(ctx, l)
	if err != nil {
		return err
	}
	if b.behind {
		l.undisturbed = false
		return nil // the cache shows what we wrote in a moment, and that is another look
	}
	switch two := len(l.active()) > 1; {
	case b.ours != nil && (!two || len(b.theirs) > 0):
		l.undisturbed = false
		if err := client.IgnoreNotFound(a.Client.Delete(ctx, b.ours, client.Preconditions{UID: &b.ours.UID})); err != nil {
			return err
		}
		a.wrote.deleted(b.ours)
	case len(b.theirs) == 1:
		return a.lend(ctx, l, b.theirs[0], two)
	case len(b.theirs) > 1 || !two:
		return nil // with two of them every eviction fails as it is
	case b.ours == nil:
		l.undisturbed = false
		return a.createBudget(ctx, l)
	case l.moves(b.ours.Spec.MinAvailable):
		l.undisturbed = false
		return a.setBudget(ctx, b.ours, l.allButOne())
	}
	return nil
}

// allButOne of the pods that are asked for may not be evicted.
func (l *look) allButOne() policyv1.PodDisruptionBudgetSpec {
	total := 0
	for _, s := range l.sets {
		total += s.replicas
	}
	return policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(int32(max(0, total-1))))}
}

// moves tells whether a budget of ours is to change. It rises at once, and is lowered only when the rollout rests: while it moves there are
// fewer pods for a moment again and again, and none need be evicted in that moment.
func (l *look) moves(has *intstr.IntOrString) bool {
	want := l.allButOne().MinAvailable.IntValue()
	if has == nil || want > has.IntValue() {
		return true
	}
	return want < has.IntValue() && (l.state.Stands || l.state.Paused != nil || l.state.Phase == rollout.Held)
}

// lend sets the user's budget for the time of two versions, and back.
func (a *App) lend(ctx context.Context, l *look, b *policyv1.PodDisruptionBudget, two bool) error {
	kept := keptBudgets(l.rollout.Status.Kept)
	original, has := kept[b.Name]
	lent, known := a.lent[b.Name]
	switch {
	case !two && !has:
		return nil
	case !two:
		if sameBudget(original, b.Spec) {
			return nil
		}
		l.undisturbed = false
		return a.setBudget(ctx, b, original)
	case !has, known && !sameBudget(lent, b.Spec) && !sameBudget(original, b.Spec): // new to us, or its user has changed it meanwhile
		kept[b.Name] = limits(b.Spec)
		raw, err := json.Marshal(kept)
		if err != nil {
			return err
		}
		delete(a.lent, b.Name)
		return a.status(ctx, l, func(st *v1alpha1.RolloutStatus) { st.Kept.Disruption = &runtime.RawExtension{Raw: raw} })
	}
	if b.Spec.MaxUnavailable == nil && !sameBudget(original, b.Spec) && !l.moves(b.Spec.MinAvailable) {
		return nil
	}
	if a.lent == nil {
		a.lent = map[string]policyv1.PodDisruptionBudgetSpec{}
	}
	a.lent[b.Name] = l.allButOne()
	if sameBudget(a.lent[b.Name], b.Spec) {
		return nil
	}
	l.undisturbed = false
	return a.setBudget(ctx, b, a.lent[b.Name])
}

// giveBudgetsBack sets the user's PodDisruptionBudgets that are lent back, by the names that are kept.
func (a *App) giveBudgetsBack(ctx context.Context, l *look) error {
	for name, original := range keptBudgets(l.rollout.Status.Kept) {
		b := &policyv1.PodDisruptionBudget{}
		err := a.Client.Get(ctx, types.NamespacedName{Namespace: a.Key.Namespace, Name: name}, b)
		if err == nil && !sameBudget(original, b.Spec) {
			err = a.setBudget(ctx, b, original)
		}
		if client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// limits of a budget, without its selector.
func limits(s policyv1.PodDisruptionBudgetSpec) policyv1.PodDisruptionBudgetSpec {
	return policyv1.PodDisruptionBudgetSpec{MinAvailable: s.MinAvailable, MaxUnavailable: s.MaxUnavailable}
}

func sameBudget(a, b policyv1.PodDisruptionBudgetSpec) bool {
	return equality.Semantic.DeepEqual(limits(a), limits(b))
}

func (a *App) setBudget(ctx context.Context, b *policyv1.PodDisruptionBudget, want policyv1.PodDisruptionBudgetSpec) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": b.ResourceVersion},
		"spec":     map[string]any{"minAvailable": want.MinAvailable, "maxUnavailable": want.MaxUnavailable},
	})
	if err != nil {
		return err
	}
	written := b.DeepCopy()
	if err := a.Client.Patch(ctx, written, client.RawPatch(types.MergePatchType, body)); err != nil {
		return err
	}
	a.wrote.note(written)
	return nil
}

func (a *App) createBudget(ctx context.Context, l *look) error {
	matchLabels, _, _ := unstructured.NestedStringMap(l.deploy.Object, "spec", "selector", "matchLabels")
	if len(matchLabels) == 0 {
		return nil
	}
	b := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{
			Name: budgetName(l.rollout), Namespace: a.Key.Namespace, Labels: map[string]string{"app.kubernetes.io/managed-by": "gapless"},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(l.rollout, v1alpha1.GroupVersion.WithKind("Rollout"))},
		},
		Spec: l.allButOne(),
	}
	b.Spec.Selector = &metav1.LabelSelector{MatchLabels: matchLabels}
	if err := a.Client.Create(ctx, b); err != nil {
		return err
	}
	a.wrote.note(b)
	return nil
}

// Protects tells whether a budget counts pods with these labels. One that selects every pod of the namespace is about none in particular.
func Protects(b *policyv1.PodDisruptionBudget, pod map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	return err == nil && !s.Empty() && s.Matches(labels.Set(pod))
}
