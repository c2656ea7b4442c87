package rollout

import (
	"fmt"
	"slices"
	"time"
)

// lateBy is how far a snapshot's time may lie behind the newest one and still be a late snapshot. Further back, the clock was set.
const lateBy = time.Minute

// Decide says what to do next. It is a function of its arguments alone and changes none of them.
//
// The caller saves Decision.State, then applies Decision.Actions in their order, then looks again. Nothing goes wrong
// when it dies in between, applies an action twice, or finds that a write was lost: the next look says the same again.
func Decide(plan Plan, state State, seen Snapshot) Decision {
	l := &look{plan: Defaults(plan), seen: seen, s: state}
	if l.late() {
		return Decision{State: state, Reason: state.Reason, Message: state.Message, LookAgain: state.LookedAt}
	}
	l.decide()
	if l.illegal != "" {
		return Decision{State: state, Reason: ReasonIllegalTransition, Message: l.illegal}
	}
	return Decision{
		State: l.s, Actions: l.actions, Answers: l.answers,
		Reason: l.s.Reason, Message: l.s.Message, LookAgain: l.again,
	}
}

func (l *look) decide() {
	if l.clockWentBack() {
		return
	}
	l.s.LookedAt = l.seen.Now
	l.followReplicas()
	l.followRoute()
	l.obey()
	l.followTemplate()
	l.heed()

	// A phase either moves on, or acts and stays; so this ends with the first phase that stays.
	for range 2 * len(Edges) {
		phase, step := l.s.Phase, l.s.Step
		phases[phase](l)
		if l.s.Phase == phase && l.s.Step == step {
			break
		}
	}
	l.oneBreath()
}

// phases holds what each phase does. There is one file a phase.
var phases = map[Phase]func(*look){
	Unseen:    unseen,
	Idle:      idle,
	Held:      held,
	Preparing: preparing,
	Shifting:  shifting,
	Promoting: promoting,
	Finishing: finishing,
	Aborting:  aborting,
}

// A look is one call of Decide: what it was given, and the decision as far as it has got.
type look struct {
	plan Plan
	seen Snapshot

	s       State
	actions []Action
	answers []Answer
	again   time.Time
	path    []Phase // where it has moved to
	illegal string
}

// late tells that the snapshot is older than one that was looked at already: what it shows may be undone by now.
func (l *look) late() bool {
	behind := l.s.LookedAt.Sub(l.seen.Now)
	return behind > 0 && behind <= lateBy
}

// clockWentBack starts all floors anew when the clock was set back. Nothing is done in that look.
func (l *look) clockWentBack() bool {
	if !l.seen.Now.Before(l.s.LookedAt) {
		return false
	}
	now := l.seen.Now
	l.s.LookedAt, l.s.ToldAt, l.s.ConvergedAt = now, now, time.Time{}
	l.s.PhaseAt, l.s.ProgressAt = now, now
	if !l.s.StandsAt.IsZero() {
		l.s.StandsAt = now
	}
	if l.s.Asked != nil && !l.s.Asked.From.IsZero() {
		q := *l.s.Asked
		q.From = now
		l.s.Asked = &q
	}
	l.say(ReasonClockSetBack, "the clock was set back: all waiting times are counted anew")
	l.again = now
	return true
}

// followReplicas keeps Most meaningful when somebody scales: after that, growing again is progress again.
func (l *look) followReplicas() {
	was := l.s.Replicas
	l.s.Replicas = l.seen.Replicas
	if was == l.seen.Replicas {
		return
	}
	serving := l.candidate().Serving
	switch {
	case was == 0 || l.seen.Replicas == 0:
		l.s.Most = 0 // from nothing there is nothing to lose
	case serving > 0:
		l.s.Most = min(l.s.Most, serving)
	}
}

// move goes to another phase, if the table allows it.
func (l *look) move(to Phase) {
	if !legal(l.s.Phase, to) {
		l.illegal = fmt.Sprintf("no edge leads from %q to %q", l.s.Phase, to)
		return
	}
	l.s.Phase, l.s.PhaseAt = to, l.seen.Now
	l.path = append(l.path, to)
	l.actions = nil // what the phase that ends was about to do is for the next one to say
	l.freshStep()
}

// freshStep begins the count of what a phase or step waits for.
func (l *look) freshStep() {
	l.s.StandsAt, l.s.Stands = time.Time{}, false
	l.s.Asked, l.s.Gates = nil, nil
	l.s.ProgressAt = l.seen.Now
	l.s.Most = l.candidate().Serving
}

// oneBreath lets a route be written alone, or with instances that are added: what takes something away waits for a look in
// which the data plane has what it was told.
func (l *look) oneBreath() {
	if !slices.ContainsFunc(l.actions, func(a Action) bool { return a.Kind == SetRoute }) {
		return
	}
	l.actions = slices.DeleteFunc(l.actions, func(a Action) bool {
		return a.Kind != SetRoute && (a.Kind != Scale || a.Replicas < l.seen.Versions[a.Version].Asked)
	})
}

// say sets reason and message; the last word counts.
func (l *look) say(reason, format string, args ...any) {
	l.s.Reason, l.s.Message = reason, fmt.Sprintf(format, args...)
}

// act adds an action. A second one of the same kind for the same version takes the place of the first.
func (l *look) act(a Action) {
	for i, b := range l.actions {
		if b.Kind == a.Kind && b.Version == a.Version {
			l.actions[i] = a
			return
		}
	}
	l.actions = append(l.actions, a)
}

// lookAt makes sure that there is a look at t.
func (l *look) lookAt(t time.Time) {
	if l.again.IsZero() || t.Before(l.again) {
		l.again = t
	}
}

// reached tells whether t has come, and else makes sure of a look at t.
func (l *look) reached(t time.Time) bool {
	if !l.seen.Now.Before(t) {
		return true
	}
	l.lookAt(t)
	return false
}

func (l *look) stable() Standing    { return l.seen.Versions[l.s.Stable] }
func (l *look) candidate() Standing { return l.seen.Versions[l.s.Candidate] }
