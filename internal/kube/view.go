package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// ViewOf is what stands of an app, as a report: the controller's own look, by somebody who writes nothing. Who may not look at pods and
// ReplicaSets is told what the Rollout's status says. kept is the report of the present revision as far as it was written down.
func ViewOf(ctx context.Context, c client.Client, key types.NamespacedName, kept report.Report) (report.Report, error) {
	a := &App{Client: c, Key: key, LooksOn: true}
	l, err := a.look(ctx)
	var refusal *Refusal
	switch {
	case errors.Is(err, ErrGone):
		return report.Report{}, err
	case apierrors.IsForbidden(err), errors.As(err, &refusal):
		var r v1alpha1.Rollout
		if err := c.Get(ctx, key, &r); err != nil {
			return report.Report{}, err
		}
		now := ViewOfStatus(&r, kept, a.now())
		if refusal != nil {
			now.Message = refusal.Message
			return now, nil
		}
		now.Notes = append(slices.Clone(now.Notes), NotShown+err.Error()+".")
		if d, err := Deployment(ctx, c, r.Namespace, r.Target()); err == nil && ahead(&r, d) {
			notTakenUp(&now, TagOf(imageOf(d)))
		}
		return now, nil
	case err != nil:
		return report.Report{}, err
	}
	now := ViewOfStatus(l.rollout, kept, a.now())
	a.standing(l, &now)
	return now, nil
}

// ViewOfStatus is what a Rollout's status alone tells.
func ViewOfStatus(r *v1alpha1.Rollout, kept report.Report, at time.Time) report.Report {
	st := r.Status
	now := kept
	var state rollout.State
	if st.Engine != nil {
		_ = json.Unmarshal(st.Engine.Raw, &state) // of a newer version: the fields beside it say enough
	}
	if now.Revision != int(st.Revision) || now.App == "" {
		now = report.Report{Revision: int(st.Revision), Started: state.PhaseAt, Outcome: report.Running}
	}
	now.App, now.Strategy, now.At = r.Name, st.Strategy, at
	now.Phase, now.Reason, now.Message, now.Weight = st.Phase, st.Reason, st.Message, int(st.Weight)
	now.Versions, now.Until, now.PausedBy = nil, time.Time{}, ""
	now.Step = 0
	if _, err := fmt.Sscanf(st.Step, "%d/%d", &now.Step, &now.Steps); err != nil {
		now.Step = 0
	}
	if state.Paused != nil {
		now.PausedBy = state.Paused.By
	}
	if s := st.Stable; s != nil {
		now.Versions = append(now.Versions, report.Version{Name: s.Version, Role: "stable", Weight: 100 - int(st.Weight), InFlight: -1})
	}
	switch c := st.Candidate; {
	case c != nil:
		now.To = c.Version
		if s := st.Stable; s != nil {
			now.From = s.Version
		}
		now.Versions = append(now.Versions, report.Version{Name: c.Version, Role: "candidate", Weight: int(st.Weight), InFlight: -1})
	case now.To == "" && st.Stable != nil:
		now.To = st.Stable.Version
	}
	if adopted := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionAdopted); adopted != nil && adopted.Status == metav1.ConditionFalse {
		now.Message = adopted.Message
	}
	if f := st.Failure; f != nil && f.Log != "" {
		now.Logs = strings.Split(f.Log, "\n")
	}
	followed(&now, r)
	lasts(&now, state)
	end(&now, r, state)
	return now
}

// lasts adds the phase that lasts, where nothing was written down of it yet.
func lasts(now *report.Report, state rollout.State) {
	if !rollout.Active(state.Phase) {
		return
	}
	now.Phases = slices.Clone(now.Phases)
	began := state.PhaseAt
	if n := len(now.Phases); n > 0 {
		last := &now.Phases[n-1]
		if last.Name == string(state.Phase) && last.Step == now.Step {
			last.End = time.Time{}
			return
		}
		if last.Name == string(state.Phase) { // another step: its own beginning is not remembered, but when it first stood
			if began = state.StandsAt; began.IsZero() {
				began = now.At
			}
		}
		if last.End.IsZero() {
			last.End = began
		}
	}
	span := report.Span{Name: string(state.Phase), Step: now.Step, Start: began}
	if now.Step > 0 {
		span.Weight = now.Weight
	}
	now.Phases = append(now.Phases, span)
}

// end closes the report of a revision that is over: one version serves, and everything was given back to the user.
func end(now *report.Report, r *v1alpha1.Rollout, state rollout.State) {
	phase := rollout.Phase(r.Status.Phase)
	if phase != rollout.Idle && phase != rollout.Held || phase == rollout.Idle && (r.Status.Kept != nil || controllerutil.ContainsFinalizer(r, v1alpha1.Finalizer)) {
		now.Ended, now.Outcome = time.Time{}, report.Running
		return
	}
	if !now.Ended.IsZero() && now.Outcome != report.Running {
		return
	}
	now.Ended, now.Outcome = state.PhaseAt, report.Promoted
	if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionProgressing); c != nil {
		now.Ended = c.LastTransitionTime.Time
	}
	if state.Aborted == nil {
		return
	}
	now.Outcome = report.Aborted
	// The status is told in words a while later; why it went back stands in the condition at once.
	if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionAborted); c != nil && c.Message != "" && now.Reason != rollout.ReasonAborted && now.Reason != rollout.ReasonHeld {
		now.Message = c.Message
	}
}

// standing adds what stands of each version.
func (a *App) standing(l *look, now *report.Report) {
	names := a.names(l)
	seen := a.snapshot(l, now.At)
	if plan := planOf(l); plan.Validate() == nil {
		if d := decide(plan, l.state, seen); d.State.Phase == l.state.Phase && d.State.Reason == l.state.Reason {
			now.Until = d.LookAgain
		}
	}
	now.Versions = nil
	for _, s := range l.sets {
		st := seen.Versions[s.version]
		role := l.roleOf(s.version)
		if role == "old" && st.Asked+st.Running+st.Stopping == 0 {
			continue
		}
		v := report.Version{
			Name: names[string(s.version)], Role: role, Weight: seen.Route.Weights[s.version], Set: s.GetName(),
			Desired: st.Asked, Running: st.Running, Ready: st.Serving, Stopping: st.Stopping, InFlight: -1, Failure: st.Failure,
		}
		if role == "candidate" {
			now.Weight = v.Weight
		}
		listed := 0
		for _, p := range l.pods[s.version] {
			i := instanceOf(p)
			if i.Listed = l.reached[p.Name] && p.DeletionTimestamp == nil; i.Listed {
				listed++
			}
			v.Instances = append(v.Instances, i)
		}
		if l.reached != nil {
			v.Listed = &listed
		}
		slices.SortFunc(v.Instances, func(x, y report.Instance) int { return strings.Compare(x.Name, y.Name) })
		now.Versions = append(now.Versions, v)
	}
	slices.SortStableFunc(now.Versions, func(x, y report.Version) int {
		rank := []string{"stable", "candidate", "old"}
		return cmp.Compare(slices.Index(rank, x.Role), slices.Index(rank, y.Role))
	})
	now.Message = inWords(now.Message, names)
	if l.pending() {
		notTakenUp(now, names[string(l.wanted)])
	}
}

// NotShown begins the note of a report for somebody who may not look at pods.
const NotShown = "Pods are not shown: "

// notTakenUp reopens a report whose template has gone on.
func notTakenUp(now *report.Report, wanted string) {
	for _, v := range now.Versions {
		if v.Role == "stable" {
			now.From = v.Name
		}
	}
	now.Ended, now.Outcome, now.To = time.Time{}, report.Running, wanted
	now.Message = fmt.Sprintf("The template asks for %s, and no controller has taken that up yet.", wanted)
}

// ahead is pending for who sees the Deployment and the Rollout alone: templates are compared by their digests.
func ahead(r *v1alpha1.Rollout, d *unstructured.Unstructured) bool {
	template, _, _ := unstructured.NestedMap(d.Object, "spec", "template")
	digest, st := string(hashOf(canonical(template))), r.Status
	return st.Stable != nil && st.Stable.Template != "" && st.Stable.Template != digest && !rollout.Active(rollout.Phase(st.Phase)) &&
		(st.Phase != string(rollout.Held) || st.RejectedTemplate != digest)
}

func imageOf(d *unstructured.Unstructured) string {
	containers, _, _ := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "containers")
	if len(containers) == 0 {
		return ""
	}
	first, _ := containers[0].(map[string]any)
	image, _ := first["image"].(string)
	return image
}

// pending tells whether the template asks for another version than the one that the state speaks of.
func (l *look) pending() bool {
	s := l.state
	return s.Stable != "" && l.wanted != s.Stable && !rollout.Active(s.Phase) && (s.Phase != rollout.Held || l.wanted != s.Rejected)
}

func (l *look) roleOf(v rollout.Version) string {
	switch v {
	case l.state.Stable:
		return "stable"
	case l.state.Candidate:
		return "candidate"
	}
	return "old"
}

// instanceOf is a pod in a few words.
func instanceOf(p *corev1.Pod) report.Instance {
	i := report.Instance{Name: p.Name, Node: p.Spec.NodeName, Address: p.Status.PodIP, State: "Starting"}
	if p.Status.StartTime != nil {
		i.Since = p.Status.StartTime.Time
	}
	ran := false
	for _, c := range p.Status.ContainerStatuses {
		i.Restarts += int(c.RestartCount)
		ran = ran || c.LastTerminationState.Terminated != nil
		if text := containerFailure(c); text != "" && i.Message == "" {
			i.Message = text
		}
		if c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff" {
			i.State = "CrashLoop"
		}
	}
	ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
	switch {
	case p.DeletionTimestamp != nil:
		i.State, i.Message = "Stopping", ""
	case p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded:
		i.State, i.Message = "Exited", strings.TrimSpace(p.Status.Reason+" "+p.Status.Message)
	case ready:
		i.State, i.Message = "Ready", ""
	case i.State == "CrashLoop":
	case p.Spec.NodeName == "":
		i.State = "Pending"
	case ran:
		i.State = "NotReady"
	}
	return i
}
