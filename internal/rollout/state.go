package rollout

import "time"

// A Phase is where a revision stands.
type Phase string

// The phases. transitions.go holds every edge between them.
const (
	// Idle: one version serves, nothing moves.
	Idle Phase = "Idle"
	// Preparing: the candidate grows and gets no traffic.
	Preparing Phase = "Preparing"
	// Shifting: traffic moves to the candidate, step by step.
	Shifting Phase = "Shifting"
	// Promoting: the candidate has, or is getting, all capacity and all traffic.
	Promoting Phase = "Promoting"
	// Finishing: the old version drains and goes; the app is given back.
	Finishing Phase = "Finishing"
	// Aborting: stable's capacity, then its traffic, then its template come back.
	Aborting Phase = "Aborting"
	// Held: a refused template was written again. Stable serves, and nothing of the refused version starts.
	Held Phase = "Held"
)

// State is what the engine remembers between two looks. It is saved before the actions of its decision are applied.
// The zero value is an app that the engine has never seen.
type State struct {
	Phase    Phase `json:"phase"`
	Revision int   `json:"revision"`

	Stable    Version `json:"stable"`
	Candidate Version `json:"candidate,omitempty"`
	// Previous is the version that was stable before; what undo goes back to.
	Previous Version `json:"previous,omitempty"`
	// Rejected is the version that was aborted last. It is not tried again until another one comes or somebody orders a retry.
	Rejected Version `json:"rejected,omitempty"`

	// Step is the index of the canary step that stands, or is being made to stand.
	Step int `json:"step,omitempty"`
	// Route is what the data plane was last told, and ConvergedAt when that was first seen to have arrived (zero: not yet).
	Route       Route     `json:"route"`
	ConvergedAt time.Time `json:"convergedAt,omitzero"`

	// PhaseAt and ProgressAt are when the phase began and when anything last went forward.
	PhaseAt    time.Time `json:"phaseAt,omitzero"`
	ProgressAt time.Time `json:"progressAt,omitzero"`

	// Paused holds the order that paused the rollout; nil while it runs.
	Paused *Order `json:"paused,omitempty"`
	// Promoted holds the order that let the rollout past its last manual stop.
	Promoted *Order `json:"promoted,omitempty"`
	// Full is set once somebody ordered promote --full.
	Full bool `json:"full,omitempty"`
	// Done is the ID of the last order that was obeyed or refused.
	Done int64 `json:"done,omitempty"`

	// Reason and Message of the last decision; after an abort they tell why.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}
