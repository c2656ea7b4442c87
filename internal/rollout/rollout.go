// Package rollout is the engine: from what is wanted, what was done and what is seen it decides what to do next.
//
// Decide is a function. It reads no clock, starts nothing and writes nothing: the Snapshot carries the time, and
// platforms carry the Decision out. So the part that could lose a request is tested by the million worlds.
package rollout

import "time"

// A Version names one template of an app: a tag such as "2.0.0", or a template's hash.
type Version string

// A Strategy is one of the four ways to replace a version.
type Strategy string

// The four strategies.
const (
	// Recreate stops stable, then starts the candidate. It is quick, and its downtime is visible.
	Recreate Strategy = "recreate"
	// Rolling replaces instances a few at a time.
	Rolling Strategy = "rolling"
	// BlueGreen brings up a whole candidate beside stable and switches all traffic at once.
	BlueGreen Strategy = "blue-green"
	// Canary gives the candidate a growing share of the traffic, step by step.
	Canary Strategy = "canary"
)

// A Split says how a platform can divide traffic between two versions.
type Split string

const (
	// ByWeight: a router divides traffic by any weights, whatever the number of instances.
	ByWeight Split = "weight"
	// ByShare: traffic follows the share of serving instances. Only two kinds of route can be written: a pin, which gives
	// one version 100, and an open route, which pins nothing (Route.Open).
	ByShare Split = "share"
)

// A Plan is how an app wants to be rolled. It may change between two looks; Decide copes.
type Plan struct {
	App      string   `json:"app"`
	Strategy Strategy `json:"strategy"`
	Split    Split    `json:"split"`

	// MaxSurge and MaxUnavailable bound a rolling update, in instances. One of them is above 0.
	MaxSurge       int `json:"maxSurge,omitempty"`
	MaxUnavailable int `json:"maxUnavailable,omitempty"`

	// Manual makes a blue-green wait for a promote before it switches; until then the candidate is a preview.
	Manual bool `json:"manual,omitempty"`
	// HoldBack is how long the old version stands, complete and without traffic, after the switch of a blue-green.
	// An undo within it is instant.
	HoldBack time.Duration `json:"holdBack,omitempty"`

	// Steps of a canary, in order. After the last one the candidate is promoted.
	Steps []Step `json:"steps,omitempty"`

	// Gates ask whether a passage may go on. The first version is let in without them, and so is an undo.
	Gates []Gate `json:"gates,omitempty"`

	// Drain is the least time between the moment in which weight 0 of a version has converged and its scale-down.
	Drain time.Duration `json:"drain"`
	// Deadline is how long a rollout may make no progress before it is aborted. A pause is not a lack of progress. 0: never.
	Deadline time.Duration `json:"deadline"`
}

// A Step of a canary: what the candidate gets, and what must hold before the next step.
type Step struct {
	// Weight is the candidate's share of traffic in percent. Weights of a plan never fall.
	Weight int `json:"weight"`
	// Match sends the requests that it describes to the candidate, beside the weight (A/B).
	Match *Match `json:"match,omitempty"`
	// Mirror is the share of requests, in percent, that are sent to the candidate as well and whose answers are dropped (shadow).
	// Requests that may change something are left out unless MirrorWrites is set.
	Mirror       int  `json:"mirror,omitempty"`
	MirrorWrites bool `json:"mirrorWrites,omitempty"`
	// Pause is the least time that the step lasts after it has converged.
	Pause time.Duration `json:"pause,omitempty"`
	// Manual makes the step last until somebody promotes.
	Manual bool `json:"manual,omitempty"`
}

// A Match describes requests by exact header and cookie values, all of which must agree; or by who sends them.
type Match struct {
	Header map[string]string `json:"header,omitempty"`
	Cookie map[string]string `json:"cookie,omitempty"`
	// Users is a share of the users in percent. Each stays where the first request went; a cookie tells them apart.
	Users int `json:"users,omitempty"`
}

// Weights give each version its share of the traffic, in percent. They always sum to 100. A version that is absent has 0.
type Weights map[Version]int

// A Route is all that a data plane is told of an app. The zero Route is that of an app to which nothing was ever sent.
type Route struct {
	Weights Weights `json:"weights"`
	// Open is set where nothing is pinned and traffic follows the serving instances (ByShare only). Weights are then
	// what is aimed at (told) or what is seen (read back); two open routes are the same route whatever their weights.
	Open bool `json:"open,omitempty"`
	// To is the version that Match and Mirror speak of; empty where there is neither.
	To           Version `json:"to,omitempty"`
	Match        *Match  `json:"match,omitempty"`
	Mirror       int     `json:"mirror,omitempty"`
	MirrorWrites bool    `json:"mirrorWrites,omitempty"`
}

// A Grade says how a change is known to have arrived.
type Grade string

// The grades, from the weakest to the strongest. NotYet means that the change is not known to have arrived, or that a
// route which was written is still on its way: any other grade says that the data plane has Route, and nothing newer is coming.
const (
	NotYet       Grade = ""
	Told         Grade = "told"         // API objects say so
	Acknowledged Grade = "acknowledged" // the data plane's own API says so
	Seen         Grade = "seen"         // a probe's answers prove it
)

// A Snapshot is what a platform sees at one moment. It may be late, and two snapshots may come out of order: Decide
// drops one that is older than the newest it has looked at.
type Snapshot struct {
	// Now is when the look began: nothing in the snapshot is older. Looks follow each other; each begins after the
	// actions of the decision before it were tried, and its Now is later.
	Now time.Time `json:"now"`
	// Wanted is the version that the user's template asks for now.
	Wanted Version `json:"wanted"`
	// Replicas is how many instances the user asks for now.
	Replicas int `json:"replicas"`
	// Versions holds each version of which anything exists.
	Versions map[Version]Standing `json:"versions"`
	// Route is what the data plane is really configured for, read back, and Grade how that is known.
	Route Route `json:"route"`
	Grade Grade `json:"grade"`
	// Waits says in words what keeps the route from arriving, where the platform knows.
	Waits string `json:"waits,omitempty"`
	// Taken tells that the platform has the app in hand (held, pinned, paused) and has not let go of it yet. At rest the engine
	// answers with Release until it is false. A platform that has nothing to let go of leaves it false.
	Taken bool `json:"taken,omitempty"`
	// Gates holds the newest answer of each gate that was asked, by its name.
	Gates map[string]Verdict `json:"gates,omitempty"`
	// Forgotten are versions that the engine knows of and whose template the platform does not have any more: nobody can go to them.
	Forgotten []Version `json:"forgotten,omitempty"`
	// Orders are what people asked for, oldest first. An order stays in the snapshot until the platform sees its ID in State.Done or later.
	Orders []Order `json:"orders,omitempty"`
}

// Standing is what is seen of one version.
type Standing struct {
	// Asked is how many instances the platform was last asked for.
	Asked int `json:"asked"`
	// Running counts instances that exist and are not stopping, ready or not.
	Running int `json:"running"`
	// Serving counts instances that are ready (for the app's minimum time) and that the data plane can send to.
	Serving int `json:"serving"`
	// Unlisted counts instances that are ready, too, but that the data plane has not heard of yet. A version that has some is not lost.
	Unlisted int `json:"unlisted,omitempty"`
	// Stopping counts instances that are on their way out.
	Stopping int `json:"stopping,omitempty"`
	// InFlight counts requests being answered; -1 where the platform cannot know.
	InFlight int `json:"inFlight"`
	// Failure tells a person why an instance does not come up or keeps dying; empty while all is well.
	Failure string `json:"failure,omitempty"`
}

// A Verb is what a person can order.
type Verb string

// The verbs. A deploy is no order: it changes Wanted.
const (
	Promote     Verb = "promote"      // past the manual stop, or the inconclusive gates, that the rollout stands at
	PromoteFull Verb = "promote-full" // past all the rest of the steps, pauses and gates
	Abort       Verb = "abort"
	Undo        Verb = "undo" // back to the version before; during a rollout the same as abort
	Pause       Verb = "pause"
	Resume      Verb = "resume"
	Retry       Verb = "retry" // try the refused version again
)

// An Order is one person's word.
type Order struct {
	// ID grows with time: an order whose ID is not above State.Done was already obeyed.
	ID   int64     `json:"id"`
	Verb Verb      `json:"verb"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
}

// An ActionKind says what a platform is to do.
type ActionKind string

// The kinds of action. Each can be carried out twice with the effect of once.
const (
	// Scale: the version shall have Replicas instances, started if it has none yet. Going down, the platform takes each instance out of
	// its rotation and lets it finish before it is stopped; instances that do not serve go first.
	Scale ActionKind = "scale"
	// SetRoute: the data plane shall be configured for Route.
	SetRoute ActionKind = "route"
	// WriteBack: the user's template shall be Version's again, in place of Over's. Where the template asks for any other version
	// than Over by now, the platform leaves it alone.
	WriteBack ActionKind = "write-back"
	// Remove: nothing of the version shall stand any more. Its instances are gone already.
	Remove ActionKind = "remove"
	// Release: the app is at rest with Version; the platform lets go of it.
	Release ActionKind = "release"
)

// An Action is one idempotent thing for a platform to do.
type Action struct {
	Kind    ActionKind `json:"kind"`
	Version Version    `json:"version,omitempty"`
	// Over is the version whose template a WriteBack may replace.
	Over     Version `json:"over,omitempty"`
	Replicas int     `json:"replicas,omitempty"`
	Route    *Route  `json:"route,omitempty"`
}

// An Answer tells what became of an order.
type Answer struct {
	Order  Order `json:"order"`
	Obeyed bool  `json:"obeyed"`
	// Message is one sentence for the person who gave the order.
	Message string `json:"message"`
}

// A Decision is what Decide says. The loop saves State BEFORE it applies Actions, in their order: a crash in between only repeats work.
type Decision struct {
	State   State    `json:"state"`
	Actions []Action `json:"actions,omitempty"`
	// Answers holds one answer for each order that this decision obeyed or refused.
	Answers []Answer `json:"answers,omitempty"`
	// Reason is one CamelCase word for machines and Message one sentence for people. They stay the same while nothing changes.
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// LookAgain is when time alone may change the decision; zero when only an event can.
	LookAgain time.Time `json:"lookAgain,omitzero"`
}
