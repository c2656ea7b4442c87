// Package report is the evidence of a revision as one value, and that value's outputs: text, JSON, HTML, JUnit.
//
// Of a revision that is not yet over it is the status. The package is pure: it is told the time
// and reads no clock, and it depends on the standard library only.
package report

import (
	"encoding/json"
	"strconv"
	"time"
)

// A Report is everything known of one revision. Every field may be missing but App; outputs
// leave out what is not there.
type Report struct {
	// App is the app's name. Empty in the report of a bare probe, which has Traffic only.
	App string `json:"app,omitempty"`
	// On is where the app runs. Nil where nobody had to choose.
	On *Place `json:"on,omitempty"`
	// Label tells the report from others next to it, such as "rolling, naive". Empty when it stands alone.
	Label string `json:"label,omitempty"`
	// Revision counts the app's passages from one version to the next, from 1. 0: nothing was ever rolled.
	Revision int `json:"revision,omitempty"`
	// Strategy is recreate, rolling, blue-green or canary.
	Strategy string `json:"strategy,omitempty"`
	// From is the version that was stable when the revision began; empty at a first deploy.
	From string `json:"from,omitempty"`
	// To is the version it leads to, also when it was aborted on the way.
	To string `json:"to,omitempty"`
	// Source is where To comes from. Nil where nobody has said.
	Source *Source `json:"source,omitempty"`
	// Images lists, by version, what its containers ran, by digest: "app registry.example.com/api@sha256:...". Empty where nothing tells.
	Images map[string][]string `json:"images,omitempty"`

	// Phase is where the revision stands: one of the engine's phases, such as Shifting.
	Phase string `json:"phase,omitempty"`
	// Step is the canary step that stands, from 1, and Steps how many there are. 0: none.
	Step  int `json:"step,omitempty"`
	Steps int `json:"steps,omitempty"`
	// Weight is the candidate's share of the traffic in percent, as read back from the data plane.
	Weight int `json:"weight"`

	// At is when this value was taken. Durations of what is not over are counted to it.
	At time.Time `json:"at,omitzero"`
	// Started and Ended bound the revision. Ended is zero while it is under way.
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	// Until is when time alone takes the revision on, such as the end of a pause. Zero: an event is awaited, or nothing.
	Until time.Time `json:"until,omitzero"`

	// Outcome says how it ended, or that it has not.
	Outcome Outcome `json:"outcome,omitempty"`
	// Reason is the last decision's reason, one CamelCase word for machines, and Message its sentence for people.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// PausedBy is who ordered the pause that holds the revision; empty while it is not paused.
	PausedBy string `json:"pausedBy,omitempty"`

	// Phases lists the phases, and within Shifting the steps, in the order in which they were passed.
	Phases []Span `json:"phases,omitempty"`
	// Decisions lists what was decided, oldest first. Decisions that repeat are listed once.
	Decisions []Entry `json:"decisions,omitempty"`
	// Converged lists the changes that were seen to arrive, and how that is known.
	Converged []Convergence `json:"converged,omitempty"`
	// Gates lists what each gate answered, in the order in which they were asked.
	Gates []Gate `json:"gates,omitempty"`
	// Versions lists what stands of each version, stable first.
	Versions []Version `json:"versions,omitempty"`
	// Traffic is what was counted. Nil when nobody counted: then nothing is claimed of losses.
	Traffic *Traffic `json:"traffic,omitempty"`
	// Logs holds the last lines (at most 20) of a candidate that failed.
	Logs []string `json:"logs,omitempty"`
	// Notes are further facts a reader should know; each is a whole sentence.
	Notes []string `json:"notes,omitempty"`
}

// An Outcome says how a revision ended.
type Outcome string

// The outcomes.
const (
	// Running: the revision is not over.
	Running Outcome = "Running"
	// Promoted: the candidate became stable.
	Promoted Outcome = "Promoted"
	// Aborted: stable kept, or got back, all the traffic.
	Aborted Outcome = "Aborted"
	// Superseded: a newer version took its place on the way.
	Superseded Outcome = "Superseded"
)

// A Span is one phase, or one step of a canary, in time.
type Span struct {
	// Name is the phase, such as Shifting.
	Name string `json:"name"`
	// Step is the canary step, from 1, and Weight the candidate's share in percent. Both 0 where there is none.
	Step   int `json:"step,omitempty"`
	Weight int `json:"weight,omitempty"`
	// Start and End bound the span. End is zero in the one that lasts.
	Start time.Time `json:"start"`
	End   time.Time `json:"end,omitzero"`
}

// An Entry is one decision, with its reason.
type Entry struct {
	At    time.Time `json:"at"`
	Phase string    `json:"phase"`
	// Reason is one CamelCase word, Message one sentence.
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// By is who ordered it; empty when Gapless decided by itself.
	By string `json:"by,omitempty"`
}

// A Convergence is one change that arrived.
type Convergence struct {
	At time.Time `json:"at,omitzero"`
	// What changed, such as "weights 1.0.0=75 2.0.0=25".
	What string `json:"what"`
	// Grade is how the arrival is known: told, acknowledged or seen.
	Grade string `json:"grade"`
	// After is how long it took from the write.
	After Millis `json:"afterMs"`
}

// A Gate is what one gate answered at one moment.
type Gate struct {
	Name string `json:"name"`
	// At is the moment: beforeStart, step, beforePromotion or afterPromotion; Step counts from 1, 0 where there is none.
	At   string `json:"at"`
	Step int    `json:"step,omitempty"`
	// Outcome is pass, fail, wait or inconclusive, and Reason says why in a sentence.
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
	// Detail says it with the last numbers, and Numbers are what was measured, by name.
	Detail  string             `json:"detail,omitempty"`
	Numbers map[string]float64 `json:"numbers,omitempty"`
	// Asked is when it was asked, and Answered when the answer was last looked at.
	Asked    time.Time `json:"asked,omitzero"`
	Answered time.Time `json:"answered,omitzero"`
	// DryRun tells that it only reported.
	DryRun bool `json:"dryRun,omitempty"`
	// WaivedBy is who let the rollout go on without it.
	WaivedBy string `json:"waivedBy,omitempty"`
}

// A Version is what stands of one version of the app.
type Version struct {
	Name string `json:"name"`
	// Role is stable, candidate, or old for one that is on its way out.
	Role string `json:"role,omitempty"`
	// Weight is its share of the traffic in percent.
	Weight int `json:"weight"`
	// Desired counts the instances asked for, Running those that exist, Ready those that can be sent to, Stopping those on their way out.
	Desired  int `json:"desired"`
	Running  int `json:"running"`
	Ready    int `json:"ready"`
	Stopping int `json:"stopping,omitempty"`
	// InFlight counts requests being answered now; -1 where that cannot be known.
	InFlight int `json:"inFlight,omitempty"`
	// Set is its ReplicaSet, and Listed counts its pods that EndpointSlices list as ready; nil where there are none of these.
	Set    string `json:"set,omitempty"`
	Listed *int   `json:"listed,omitempty"`
	// Failure says why it does not come up or keeps dying; empty while all is well.
	Failure string `json:"failure,omitempty"`
	// Instances lists its processes or pods.
	Instances []Instance `json:"instances,omitempty"`
	// Counts is what the data plane counted; nil where it tells nothing.
	Counts *Counts `json:"counts,omitempty"`
}

// An Instance is one process or pod.
type Instance struct {
	// Name tells it from the others, such as demo-api-2.0.0-3.
	Name string `json:"name"`
	// Pid is a process's, and Node where a pod runs.
	Pid  int    `json:"pid,omitempty"`
	Node string `json:"node,omitempty"`
	// Address is a process's host:port, and a pod's address.
	Address string `json:"address,omitempty"`
	// Listed tells that an EndpointSlice lists the pod as ready.
	Listed bool `json:"listed,omitempty"`
	// State is one word: Starting, Ready, NotReady, Draining, Stopping, CrashLoop, Exited; of a pod also Pending.
	State string `json:"state"`
	// Restarts counts how often it was started again.
	Restarts int `json:"restarts,omitempty"`
	// Since is when it was started last.
	Since time.Time `json:"since,omitzero"`
	// Message says more about a state that is not well.
	Message string `json:"message,omitempty"`
}

// Over reports whether the revision has ended.
func (r Report) Over() bool { return !r.Ended.IsZero() }

// Took is how long the revision took, or has taken until At.
func (r Report) Took() time.Duration {
	switch {
	case r.Started.IsZero():
		return 0
	case r.Ended.IsZero():
		return max(0, r.At.Sub(r.Started))
	}
	return r.Ended.Sub(r.Started)
}

// OfProbe is the report of a probe without a revision.
func OfProbe(t Traffic) Report {
	return Report{Started: t.Started, At: t.Started.Add(t.Elapsed.Duration()), Traffic: &t}
}

// Millis is a duration that JSON holds as a number of milliseconds, to the microsecond.
// Names of such fields end in Ms.
type Millis time.Duration

// Duration is the same as a time.Duration.
func (m Millis) Duration() time.Duration { return time.Duration(m) }

// MarshalJSON writes milliseconds.
func (m Millis) MarshalJSON() ([]byte, error) {
	us := time.Duration(m).Round(time.Microsecond).Microseconds()
	return strconv.AppendFloat(nil, float64(us)/1000, 'f', -1, 64), nil
}

// UnmarshalJSON reads milliseconds.
func (m *Millis) UnmarshalJSON(b []byte) error {
	var ms float64
	if err := json.Unmarshal(b, &ms); err != nil {
		return err
	}
	*m = Millis(time.Duration(ms*1000) * time.Microsecond)
	return nil
}
