package kube

import (
	"fmt"
	"slices"

	"gapless.dev/gapless/internal/rollout"
)

// decide is the engine, except where Kubernetes itself carries the strategy out: then we look on, say what is seen, and can only turn back.
func decide(plan rollout.Plan, state rollout.State, seen rollout.Snapshot) rollout.Decision {
	if !native(plan.Strategy) || seen.Taken {
		return rollout.Decide(plan, state, seen)
	}
	n := &observed{plan: plan, seen: seen, s: state}
	n.s.LookedAt, n.s.Replicas = seen.Now, seen.Replicas
	n.s.Route, n.s.ConvergedAt = seen.Route, seen.Now
	if seen.Route.Open && state.Route.Open {
		n.s.Route, n.s.ConvergedAt = state.Route, state.ConvergedAt // shares change all the time and are not worth a write
	}
	n.follow()
	return rollout.Decision{State: n.s, Actions: n.actions, Answers: n.answers, Reason: n.s.Reason, Message: n.s.Message}
}

// decide is the same, with a look more where no event tells that a data plane has what it was told.
func (a *App) decide(plan rollout.Plan, state rollout.State, seen rollout.Snapshot) rollout.Decision {
	d := decide(plan, state, seen)
	if a.seen == nil || a.seen.weighted == nil || a.seen.weighted.Again() == 0 {
		return d
	}
	if at := seen.Now.Add(a.seen.weighted.Again()); d.LookAgain.IsZero() || at.Before(d.LookAgain) {
		d.LookAgain = at
	}
	return d
}

// ReasonNatively: Kubernetes replaces the pods by the Deployment's own strategy.
const ReasonNatively = "RollingNatively"

// observed is one look at a native rollout.
type observed struct {
	plan    rollout.Plan
	seen    rollout.Snapshot
	s       rollout.State
	actions []rollout.Action
	answers []rollout.Answer
}

func (n *observed) follow() {
	w := n.seen.Wanted
	if n.s.Stable == "" {
		n.s.Stable, n.s.Phase, n.s.Revision = n.most(), rollout.Idle, 1
	}
	n.obey()
	if _, stands := n.seen.Versions[n.s.Candidate]; !stands && rollout.Active(n.s.Phase) && w != n.s.Stable {
		n.s.Candidate = w // Kubernetes has given the template's ReplicaSet a name of its own
	}
	switch {
	case !rollout.Active(n.s.Phase) && w == n.s.Stable:
		n.rest()
		return
	case !rollout.Active(n.s.Phase) && w == n.s.Rejected:
		// It is not held here, so that Kubernetes has begun it: it goes back at once, and why is what it was refused for.
		n.s.Candidate, n.s.Phase, n.s.PhaseAt = w, rollout.Aborting, n.seen.Now
	case !rollout.Active(n.s.Phase), w != n.s.Candidate && w != n.s.Stable:
		n.begin(w)
	case w == n.s.Stable && n.s.Phase != rollout.Aborting:
		n.back(false, rollout.ReasonTemplateWentBack, "the template asks for "+string(w)+" again")
	}
	if n.s.Phase == rollout.Aborting {
		n.turnBack()
		return
	}
	n.forward()
}

// most is the version that serves most; the one that is wanted where nothing serves.
func (n *observed) most() rollout.Version {
	best := n.seen.Wanted
	for v, st := range n.seen.Versions {
		if b := n.seen.Versions[best]; st.Serving > b.Serving || st.Serving == b.Serving && st.Serving > 0 && v < best {
			best = v
		}
	}
	return best
}

func (n *observed) rest() {
	n.s.Phase, n.s.Candidate = rollout.Idle, ""
	n.say(rollout.ReasonServing, "%s serves", n.s.Stable)
	if n.s.Aborted != nil {
		n.say(rollout.ReasonAborted, "%s serves; %s went back: %s", n.s.Stable, n.s.Aborted.Version, n.s.Aborted.Message)
	}
}

func (n *observed) begin(v rollout.Version) {
	n.s.Revision++
	n.s.Candidate, n.s.Phase, n.s.Aborted, n.s.Rejected = v, rollout.Shifting, nil, ""
	n.s.PhaseAt, n.s.ProgressAt, n.s.Most = n.seen.Now, n.seen.Now, 0
}

func (n *observed) back(refused bool, reason, message string) {
	n.s.Aborted = &rollout.Setback{Version: n.s.Candidate, Reason: reason, Message: message, At: n.seen.Now, Refused: refused}
	n.s.Phase, n.s.PhaseAt = rollout.Aborting, n.seen.Now
	if refused {
		n.s.Rejected = n.s.Candidate
	}
}

func (n *observed) forward() {
	c := n.seen.Versions[n.s.Candidate]
	if c.Serving > n.s.Most {
		n.s.Most, n.s.ProgressAt = c.Serving, n.seen.Now
	}
	n.say(ReasonNatively, "Kubernetes replaces %s by %s: %d of %d serve", n.s.Stable, n.s.Candidate, c.Serving, n.seen.Replicas)
	switch {
	case c.Serving >= n.seen.Replicas && n.othersGone(n.s.Candidate):
		n.s.Previous, n.s.Stable, n.s.Candidate, n.s.Phase = n.s.Stable, n.s.Candidate, "", rollout.Idle
		n.rest()
	case n.plan.Deadline > 0 && !n.seen.Now.Before(n.s.ProgressAt.Add(n.plan.Deadline)):
		message := fmt.Sprintf("no progress in %s; %d of %s served", n.plan.Deadline, c.Serving, n.s.Candidate)
		if c.Failure != "" {
			message += ": " + c.Failure
		}
		n.back(true, rollout.ReasonDeadlineExceeded, message)
		n.turnBack()
	}
}

// turnBack has stable's template written back; Kubernetes then rolls back by itself.
func (n *observed) turnBack() {
	s := n.seen.Versions[n.s.Stable]
	switch {
	case n.seen.Wanted == n.s.Candidate:
		n.actions = append(n.actions, rollout.Action{Kind: rollout.WriteBack, Version: n.s.Stable, Over: n.s.Candidate})
		n.say(rollout.ReasonWritingTemplate, "the template is to ask for %s again", n.s.Stable)
	case s.Serving >= n.seen.Replicas && n.othersGone(n.s.Stable):
		n.rest()
	default:
		n.say(ReasonNatively, "Kubernetes brings %s back: %d of %d serve", n.s.Stable, s.Serving, n.seen.Replicas)
	}
}

func (n *observed) othersGone(v rollout.Version) bool {
	for o, st := range n.seen.Versions {
		if o != v && st.Asked+st.Running+st.Stopping > 0 {
			return false
		}
	}
	return true
}

func (n *observed) obey() {
	for _, o := range n.seen.Orders {
		if o.ID <= n.s.Done {
			continue
		}
		n.s.Done = o.ID
		message, obeyed := n.take(o)
		n.answers = append(n.answers, rollout.Answer{Order: o, Obeyed: obeyed, Message: message})
	}
}

func (n *observed) take(o rollout.Order) (string, bool) {
	moving := rollout.Active(n.s.Phase) && n.s.Phase != rollout.Aborting
	switch {
	case o.Verb == rollout.Abort && moving, o.Verb == rollout.Undo && moving:
		n.back(true, rollout.ReasonAbortOrdered, fmt.Sprintf("%s by %s", o.Verb, o.By))
		return fmt.Sprintf("back from %s to %s", n.s.Candidate, n.s.Stable), true
	case o.Verb == rollout.Undo && n.s.Previous != "":
		n.actions = append(n.actions, rollout.Action{Kind: rollout.WriteBack, Version: n.s.Previous, Over: n.s.Stable})
		return fmt.Sprintf("back from %s to %s", n.s.Stable, n.s.Previous), true
	case o.Verb == rollout.Retry:
		return n.retry()
	case o.Verb == rollout.Abort, o.Verb == rollout.Undo:
		return "no rollout is on its way", false
	}
	return fmt.Sprintf("%s has no meaning while Kubernetes itself rolls; choose blueGreen or canary", o.Verb), false
}

// retry has the refused version's template written again.
func (n *observed) retry() (string, bool) {
	again := n.s.Rejected
	switch {
	case rollout.Active(n.s.Phase) || again == "":
		return "no version was refused", false
	case slices.Contains(n.seen.Forgotten, again):
		return fmt.Sprintf("nothing is left of %s: write another template", again), false
	case n.seen.Wanted == n.s.Stable:
		n.actions = append(n.actions, rollout.Action{Kind: rollout.WriteBack, Version: again, Over: n.s.Stable})
	}
	n.s.Rejected = ""
	return fmt.Sprintf("%s is tried again", again), true
}

func (n *observed) say(reason, format string, args ...any) {
	n.s.Reason, n.s.Message = reason, fmt.Sprintf(format, args...)
}
