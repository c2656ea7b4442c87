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

	// Aborted tells why the last revision went back; nil once another one begins.
	Aborted *Setback `json:"aborted,omitempty"`

	// Step is the index of the canary step that stands, or is being made to stand.
	Step int `json:"step,omitempty"`
	// StandsAt is when the step (or the preview of a blue-green) was first seen to stand: its instances serve and its route has
	// converged. Zero: not yet.
	// While aborting it is when the template's writing back began.
	StandsAt time.Time `json:"standsAt,omitzero"`
	// Stands tells that the step stood at the last look. A step that stands waits for time or people, and the deadline does not run.
	Stands bool `json:"stands,omitempty"`
	// Route is what the data plane was last told, and ConvergedAt when that was first seen to have arrived (zero: not yet).
	Route       Route     `json:"route"`
	ConvergedAt time.Time `json:"convergedAt,omitzero"`
	// ToldAt is the time of the look that the route was told after.
	ToldAt time.Time `json:"toldAt,omitzero"`

	// PhaseAt and ProgressAt are when the phase began and when anything last went forward.
	PhaseAt    time.Time `json:"phaseAt,omitzero"`
	ProgressAt time.Time `json:"progressAt,omitzero"`
	// LookedAt is the time of the newest snapshot that was looked at.
	LookedAt time.Time `json:"lookedAt,omitzero"`
	// Most is the highest number of the candidate's serving instances since it last had to grow: only more is progress.
	Most int `json:"most,omitempty"`
	// Replicas is how many instances were asked for at the last look.
	Replicas int `json:"replicas,omitempty"`

	// Paused holds the order that paused the rollout; nil while it runs.
	Paused *Order `json:"paused,omitempty"`
	// Promoted holds the order that let the rollout past its last manual stop.
	Promoted *Order `json:"promoted,omitempty"`
	// Called holds the undo or retry that began this revision, until the template asks for the candidate.
	Called *Order `json:"called,omitempty"`
	// Full is set once somebody ordered promote --full.
	Full bool `json:"full,omitempty"`
	// Undo is set in a revision that an undo began: a person decided already, and no gate is asked.
	Undo bool `json:"undo,omitempty"`

	// Asked is what the gates are asked now, and Gates what each of them last answered to it. Past is the last moment that the
	// revision has behind it.
	Asked *Question          `json:"asked,omitempty"`
	Gates map[string]Verdict `json:"gates,omitempty"`
	Past  Moment             `json:"past,omitempty"`
	// Done is the ID of the last order that was obeyed or refused.
	Done int64 `json:"done,omitempty"`

	// Reason and Message of the last decision; after an abort they tell why.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// Essence is the state without what is only words, or only ever makes a rollout wait: to lose that costs time and nothing else. A loop may
// save such changes late.
func (s State) Essence() State {
	s.Reason, s.Message = "", ""
	s.LookedAt, s.ProgressAt, s.ConvergedAt, s.StandsAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	s.Stands = false
	s.Most = min(s.Most, 1) // that it served at all is how a loss is known
	return s
}

// A Setback tells why a revision was aborted.
type Setback struct {
	Version Version   `json:"version"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
	// Refused tells that the version itself was refused, by a person or by what was seen of it; it is State.Rejected then.
	// Otherwise the template changed, and nothing was held against the version.
	Refused bool `json:"refused,omitempty"`
	// Untouched tells that nothing of the version was started: its template had not been written yet.
	Untouched bool `json:"untouched,omitempty"`
}

// Weight is the candidate's share of the traffic in percent, as it was last told. Where the route is open it is what is aimed at.
func (s State) Weight() int {
	if s.Candidate == "" {
		return 0
	}
	return s.Route.Weights[s.Candidate]
}

// Active tells whether a revision is on its way in the phase: it is neither at rest nor unseen.
func Active(p Phase) bool {
	switch p {
	case Preparing, Shifting, Promoting, Finishing, Aborting:
		return true
	}
	return false
}
