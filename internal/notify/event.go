// Package notify tells others what happens to a rollout: which decisions are worth a word is pure, and a Sender posts them.
package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// A Kind is what happened.
type Kind string

// The kinds of event.
const (
	// Started: a revision has begun.
	Started Kind = "started"
	// Step: a step of a canary stands.
	Step Kind = "step"
	// Waiting: a person has to decide.
	Waiting Kind = "waiting"
	// Promoted: the candidate is stable.
	Promoted Kind = "promoted"
	// Aborting: the candidate goes back; the reason says why.
	Aborting Kind = "aborting"
	// Aborted: stable serves all again.
	Aborted Kind = "aborted"
	// Held: the refused template was written again, and nothing of it starts.
	Held Kind = "held"
)

// Kinds holds all of them, in the order of a rollout.
var Kinds = []Kind{Started, Step, Waiting, Promoted, Aborting, Aborted, Held}

// usual are those that are told unless somebody asks for others.
var usual = []Kind{Started, Waiting, Promoted, Aborting, Held}

// An Event is one thing that happened.
type Event struct {
	Type Kind `json:"type"`
	// ID is the same when an event is sent again.
	ID        string `json:"id"`
	App       string `json:"app"`
	Namespace string `json:"namespace,omitempty"`
	Revision  int    `json:"revision"`
	Strategy  string `json:"strategy"`
	From      string `json:"from,omitempty"`
	To        string `json:"to,omitempty"`
	// Step counts from 1, of Steps; 0 where there is none. Weight is the candidate's share in percent.
	Step   int `json:"step,omitempty"`
	Steps  int `json:"steps,omitempty"`
	Weight int `json:"weight"`
	// Reason is one word for machines and Message one sentence for people.
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
}

// Of are the events of a decision: plan and state as they were before it, and the decision.
func Of(plan rollout.Plan, before rollout.State, d rollout.Decision, at time.Time) []Event {
	after := d.State
	base := Event{
		App: plan.App, Revision: after.Revision, Strategy: string(plan.Strategy), From: string(after.Stable), To: string(after.Candidate),
		Weight: after.Weight(), Reason: d.Reason, Message: d.Message, At: at,
	}
	if plan.Strategy == rollout.Canary && after.Phase == rollout.Shifting {
		base.Step, base.Steps = after.Step+1, len(plan.Steps)
	}
	var all []Event
	tell := func(k Kind, change ...func(*Event)) {
		e := base
		e.Type = k
		for _, f := range change {
			f(&e)
		}
		all = append(all, e)
	}
	ended := rollout.Active(before.Phase) && !rollout.Active(after.Phase)
	if after.Revision > before.Revision && rollout.Active(after.Phase) {
		tell(Started)
	}
	if after.Phase == rollout.Shifting && plan.Strategy == rollout.Canary && !after.StandsAt.IsZero() && !after.StandsAt.Equal(before.StandsAt) {
		tell(Step)
	}
	if d.Reason == rollout.ReasonAwaitingPromote && before.Reason != rollout.ReasonAwaitingPromote {
		tell(Waiting)
	}
	if back := after.Aborted; back != nil && before.Aborted == nil {
		tell(Aborting, func(e *Event) {
			e.Reason, e.Message, e.To = back.Reason, fmt.Sprintf("%s goes back: %s", back.Version, back.Message), string(back.Version)
		})
	}
	switch {
	case ended && after.Aborted != nil:
		tell(Aborted, func(e *Event) {
			e.Reason, e.To = after.Aborted.Reason, string(after.Aborted.Version)
			e.Message = fmt.Sprintf("%s serves; %s went back: %s", after.Stable, after.Aborted.Version, after.Aborted.Message)
		})
	case ended:
		tell(Promoted, func(e *Event) {
			e.From, e.To, e.Weight, e.Reason = string(before.Stable), string(after.Stable), 100, "Promoted"
			e.Message = fmt.Sprintf("%s is stable", after.Stable)
		})
	}
	if after.Phase == rollout.Held && before.Phase != rollout.Held {
		tell(Held)
	}
	return all
}

// identify gives an event its ID.
func (e *Event) identify() {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d/%s/%d/%d", e.Namespace, e.App, e.Revision, e.Type, e.Step, e.At.UnixNano()))
	e.ID = hex.EncodeToString(sum[:8])
}
