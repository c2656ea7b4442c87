// Package controller is the loop around the engine: observe, decide, save, apply, say.
//
// It is the same for every platform, and holds nothing that would be missed after a crash: what it needs to know it observes,
// and what must be remembered is saved before anything is done.
package controller

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// A Platform is where versions run. Its methods are called one at a time, and each must return soon: what takes long, such as
// stopping an instance, goes on behind and wakes the loop.
type Platform interface {
	// Observe looks at the app as it stands, and reads what was saved last.
	Observe(context.Context) (Seen, error)
	// Save keeps a state for good. A platform that finds that another one saved meanwhile returns an error: the loop looks again.
	Save(context.Context, rollout.State) error
	// Apply carries one action out, or sees that it is done already.
	Apply(context.Context, rollout.Action) error
}

// Seen is one look at an app.
type Seen struct {
	Plan     rollout.Plan
	State    rollout.State // as saved last; zero when nothing was
	Snapshot rollout.Snapshot
}

// A Loop drives one app. Platform and Wake must be set.
type Loop struct {
	Platform Platform
	// Wake gets a value when something may have changed. It should have a buffer of one and drop what does not fit.
	Wake <-chan struct{}
	// Decide is the engine. Default: rollout.Decide.
	Decide func(rollout.Plan, rollout.State, rollout.Snapshot) rollout.Decision
	// Say is told of a decision when something happened: the phase, the step, the reason or the message is another one, or an
	// order was answered. It is called after the state was saved and the actions were tried.
	Say func(Seen, rollout.Decision)
	// Trouble is told of each error, with the time after which the loop tries again.
	Trouble func(err error, again time.Duration)

	// Settled is called after each look that decided nothing new.
	Settled func()
	// Late is how long a change of the state may stay unsaved that costs only time if it is lost. Default: every change is saved at once.
	Late time.Duration

	// last is the newest look that was decided on, kept beside the saved state, which is not written for it alone.
	last time.Time
	// unsaved is what was decided since the state was saved as base, from the time since on.
	unsaved *rollout.State
	base    rollout.State
	since   time.Time
}

// retry bounds the back-off after an error: it doubles from the first to the last.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Run looks until ctx ends, and returns its error.
func (l *Loop) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	backoff := firstRetry
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.Wake:
		case <-timer.C:
		}
		again, err := l.settle(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			if l.Trouble != nil {
				l.Trouble(err, backoff)
			}
			timer.Reset(backoff)
			backoff = min(2*backoff, lastRetry)
			continue
		}
		backoff = firstRetry
		if again.IsZero() {
			timer.Stop()
			continue
		}
		timer.Reset(max(0, time.Until(again)))
	}
}

// settle looks as long as each look decides something new, and returns when time may do so next.
func (l *Loop) settle(ctx context.Context) (again time.Time, err error) {
	var before []rollout.Action
	for range maxLooks {
		seen, d, err := l.look(ctx)
		if err != nil {
			return time.Time{}, err
		}
		if same(seen.State, d.State) && reflect.DeepEqual(d.Actions, before) {
			if l.Settled != nil {
				l.Settled()
			}
			return d.LookAgain, nil
		}
		before = d.Actions
	}
	return time.Now().Add(firstRetry), nil
}

// maxLooks bounds one settling: an engine that never rests must not keep a processor busy.
const maxLooks = 50

func (l *Loop) look(ctx context.Context) (Seen, rollout.Decision, error) {
	seen, err := l.Platform.Observe(ctx)
	if err != nil {
		return seen, rollout.Decision{}, fmt.Errorf("observe %s: %w", seen.Plan.App, err)
	}
	saved := seen.State
	if l.unsaved != nil && same(saved, l.base) {
		seen.State = *l.unsaved
	} else {
		l.unsaved = nil
	}
	state := seen.State
	if state.LookedAt.Before(l.last) {
		state.LookedAt = l.last
	}
	decide := l.Decide
	if decide == nil {
		decide = rollout.Decide
	}
	d := decide(seen.Plan, state, seen.Snapshot)
	l.last = d.State.LookedAt

	// Saved first: a crash after it repeats the actions, a crash before it repeats the decision. Neither does anything else.
	if !l.mayWait(saved, &d, seen.Snapshot.Now) {
		l.unsaved = nil
		if err := l.Platform.Save(ctx, d.State); err != nil {
			return seen, d, fmt.Errorf("save the state of %s: %w", seen.Plan.App, err)
		}
	}
	err = l.apply(ctx, seen.Plan.App, d.Actions)
	if l.Say != nil && happened(seen.State, d) {
		l.Say(seen, d)
	}
	return seen, d, err
}

// mayWait tells whether a decision's state need not be saved now: it is saved, or what is new in it may be lost. Then it is kept here, and
// there is a look in time.
func (l *Loop) mayWait(saved rollout.State, d *rollout.Decision, now time.Time) bool {
	if same(saved, d.State) {
		l.unsaved = nil
		return true
	}
	if l.Late <= 0 || !same(saved.Essence(), d.State.Essence()) {
		return false
	}
	if l.unsaved == nil {
		l.base, l.since = saved, now
	}
	due := l.since.Add(l.Late)
	if !now.Before(due) {
		return false
	}
	l.unsaved = new(d.State)
	if d.LookAgain.IsZero() || due.Before(d.LookAgain) {
		d.LookAgain = due
	}
	return true
}

// apply stops at the first error: an action may stand on the one before it. It begins none after ctx has ended.
func (l *Loop) apply(ctx context.Context, app string, actions []rollout.Action) error {
	for _, a := range actions {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := l.Platform.Apply(ctx, a); err != nil {
			return fmt.Errorf("%s of %s %s: %w", a.Kind, app, a.Version, err)
		}
	}
	return nil
}

// same tells whether two states say the same, but for when they were last looked at.
func same(a, b rollout.State) bool {
	a.LookedAt, b.LookedAt = time.Time{}, time.Time{}
	return reflect.DeepEqual(a, b)
}

func happened(before rollout.State, d rollout.Decision) bool {
	after := d.State
	return before.Phase != after.Phase || before.Revision != after.Revision || before.Step != after.Step ||
		before.Reason != after.Reason || before.Message != after.Message ||
		!before.ConvergedAt.Equal(after.ConvergedAt) || len(d.Answers) > 0 || !answered(before).equal(answered(after))
}

// answers are the outcomes of the gates.
type answers map[string]rollout.Outcome

func answered(s rollout.State) answers {
	all := answers{}
	for name, v := range s.Gates {
		all[v.Of+" "+name] = v.Outcome
	}
	return all
}

func (a answers) equal(b answers) bool { return maps.Equal(a, b) }
