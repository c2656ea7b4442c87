package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// Save writes the state into the Rollout's status, as it was seen: if somebody wrote it meanwhile, this fails with a conflict.
func (a *App) Save(ctx context.Context, s rollout.State) error {
	ctx, done := finishing(ctx)
	defer done()
	l := a.seen
	next := l.rollout.DeepCopy()
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	st := &next.Status
	st.Engine = &runtime.RawExtension{Raw: raw}
	if rollout.Active(s.Phase) && st.Kept == nil && !native(strategyOf(l)) {
		if st.Kept, err = a.keep(ctx, l); err != nil {
			return err
		}
	}
	a.describe(l, st, s)
	if err := a.Client.Status().Update(ctx, next); err != nil {
		return err
	}
	a.wrote.note(next)
	l.rollout, a.state = next, s
	return nil
}

// keep sets aside what will be changed for the time of the revision.
func (a *App) keep(ctx context.Context, l *look) (*v1alpha1.Kept, error) {
	kept := &v1alpha1.Kept{Strategy: &runtime.RawExtension{Raw: l.strategyText(nil)}, Traffic: l.traffic()}
	b, err := a.lookAtBudgets(ctx, l)
	if err != nil || len(b.theirs) != 1 {
		return kept, err
	}
	raw, err := json.Marshal(map[string]policyv1.PodDisruptionBudgetSpec{b.theirs[0].Name: limits(b.theirs[0].Spec)})
	kept.Disruption = &runtime.RawExtension{Raw: raw}
	return kept, err
}

// describe says in the status what the state means.
func (a *App) describe(l *look, st *v1alpha1.RolloutStatus, s rollout.State) {
	plan := planOf(l)
	st.ObservedGeneration = l.rollout.Generation
	st.Strategy, st.Phase, st.Weight = string(plan.Strategy), string(s.Phase), int32(s.Weight())
	st.Revision, st.Rejected = int64(s.Revision), string(s.Rejected)
	s = a.inWords(l, s)
	st.Reason, st.Message = s.Reason, s.Message
	if st.RejectedTemplate = ""; s.Rejected != "" {
		st.RejectedTemplate = l.digest(s.Rejected)
	}
	st.Gates = gateStatuses(plan, s)
	st.Step = ""
	if plan.Strategy == rollout.Canary && s.Phase == rollout.Shifting {
		st.Step = fmt.Sprintf("%d/%d", s.Step+1, len(plan.Steps))
	}
	st.Stable, st.Candidate = l.versionStatuses(s.Stable, s.Candidate)
	if c := st.Candidate; c != nil && c.Template == "" {
		c.Template = l.digest(s.Candidate)
	}
	st.BreakGlass = ""
	if rollout.Active(s.Phase) || s.Phase == rollout.Held {
		st.BreakGlass = breakGlass(l, st.Kept)
	}
	st.Failure = a.failureOf(st, s)
	for _, c := range conditionsOf(s) {
		c.ObservedGeneration = l.rollout.Generation
		meta.SetStatusCondition(&st.Conditions, c)
	}
}

// digest of a version's template, from what stands of it or from what was written down of it.
func (l *look) digest(v rollout.Version) string {
	if now := l.versionStatus(v); now.Template != "" {
		return now.Template
	}
	st := l.rollout.Status
	if st.Candidate != nil && st.Candidate.Hash == string(v) {
		return st.Candidate.Template
	}
	if st.Rejected == string(v) {
		return st.RejectedTemplate
	}
	return ""
}

func conditionsOf(s rollout.State) []metav1.Condition {
	progressing := metav1.Condition{Type: v1alpha1.ConditionProgressing, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonAtRest, Message: s.Message}
	if rollout.Active(s.Phase) {
		progressing.Status, progressing.Reason = metav1.ConditionTrue, s.Reason
	}
	held := metav1.Condition{Type: v1alpha1.ConditionHeld, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotHeld}
	if s.Phase == rollout.Held {
		held.Status, held.Reason, held.Message = metav1.ConditionTrue, "Held", s.Message
	}
	aborted := metav1.Condition{Type: v1alpha1.ConditionAborted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonPromoted}
	if s.Aborted != nil {
		aborted.Status, aborted.Reason, aborted.Message = metav1.ConditionTrue, s.Aborted.Reason, s.Aborted.Message
	}
	return []metav1.Condition{progressing, held, aborted}
}

// refuse says in a condition why the app is not rolled, and returns that as an error.
func (a *App) refuse(ctx context.Context, l *look, reason, format string, args ...any) error {
	refusal := &Refusal{Reason: reason, Message: fmt.Sprintf(format, args...)}
	if a.LooksOn {
		return refusal
	}
	err := a.condition(ctx, l, metav1.Condition{Type: v1alpha1.ConditionAdopted, Status: metav1.ConditionFalse, Reason: reason, Message: refusal.Message})
	if err != nil {
		return err
	}
	return refusal
}

// condition writes conditions and what else changes of the status, if anything does.
func (a *App) condition(ctx context.Context, l *look, conditions ...metav1.Condition) error {
	return a.status(ctx, l, func(st *v1alpha1.RolloutStatus) {
		for _, c := range conditions {
			c.ObservedGeneration = l.rollout.Generation
			meta.SetStatusCondition(&st.Conditions, c)
		}
	})
}

func (a *App) status(ctx context.Context, l *look, change func(*v1alpha1.RolloutStatus)) error {
	next := l.rollout.DeepCopy()
	change(&next.Status)
	if equality.Semantic.DeepEqual(next.Status, l.rollout.Status) {
		return nil
	}
	if err := a.Client.Status().Update(ctx, next); err != nil {
		return err
	}
	a.wrote.note(next)
	l.rollout = next
	return nil
}

// adoptedOf is what the policy drain-at-birth goes by.
func adoptedOf(l *look) *v1alpha1.Adopted {
	matchLabels, _, _ := unstructured.NestedStringMap(l.deploy.Object, "spec", "selector", "matchLabels")
	return &v1alpha1.Adopted{
		Deployment: l.deploy.GetName(), UID: string(l.deploy.GetUID()),
		MatchLabels: maps.Clone(matchLabels), DrainSeconds: int64(drainOf(l.rollout).Round(1e9).Seconds()),
	}
}
