// Package spec is what a user writes of a gate, the same for an app file and for a Rollout: which gate it is, what it looks at, and when it
// is asked. It is pure.
package spec

import (
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// A Gate is one of five kinds. Exactly one of the pointers is set.
type Gate struct {
	// Name tells it from the others. Default: its kind.
	Name string
	// At is when it is asked. Default: the kind's own, see [Gate.WithDefaults].
	At []rollout.Moment
	// Deadline is how long it may be undecided. Nil: 5m, and for a window for ever. 0: for ever.
	Deadline *time.Duration
	// Hold has an inconclusive gate wait for a person; otherwise it turns the rollout back.
	Hold bool
	// DryRun gates only report.
	DryRun bool

	Probe      *Probe
	Prometheus *Prometheus
	Webhook    *Webhook
	Job        *Job
	Window     *Window
}

// Probe asks the instances of both versions themselves, and the address that clients use, and compares losses and latency.
type Probe struct {
	// Path is asked for. Default: that of the readiness check, or /.
	Path string
	// Rate is requests a second in all. Default 10.
	Rate float64
	// Post is the share, 0 to 1, of POST requests. Default 0.
	Post float64
	// Timeout of one request. Default 2s.
	Timeout time.Duration
	// Slow is from where on an answer is slow. Default: half as much again as stable's usual answer takes.
	Slow time.Duration
	// Tolerance is by how much the candidate's share of lost requests may be above stable's, 0 to 1. Default 0.05.
	Tolerance float64
	// Header is sent with each request.
	Header map[string]string
}

// Prometheus judges numbers of a Prometheus: one query against bounds, or two counters of both versions against each other.
type Prometheus struct {
	// URL of the server, such as http://prometheus.monitoring:9090.
	URL string
	// Every is how often it is asked, and the width of a bin of a comparison: that of a scrape. Default 5s.
	Every time.Duration
	// Timeout of one query. Default 5s.
	Timeout time.Duration
	// Token names a file with a bearer token, among the keys of whoever asks.
	Token string

	// Query whose value must lie within Min and Max. {{version}}, {{hash}}, {{pods}}, {{app}} and {{namespace}} are those of the candidate,
	// {{stable.version}} and so on those of stable.
	Query    string
	Min, Max *float64
	// Over has the query's values of so long be judged, each of them. 0: the newest one.
	Over time.Duration
	// Failures is how many looks in a row must be out of bounds. Default 2.
	Failures int

	// Bad and Total are queries of counters: requests that speak against a version, and all. Both are asked for either version, with its own
	// {{version}}, {{hash}} and {{pods}}.
	Bad, Total string
	// Tolerance is by how much the candidate's share of bad requests may be above stable's, 0 to 1. Default 0.01.
	Tolerance float64
	// Warmup is how long the candidate's requests are not counted at first.
	Warmup time.Duration
}

// Compares tells whether two counters are compared.
func (p Prometheus) Compares() bool { return p.Total != "" }

// Webhook asks a URL.
type Webhook struct {
	URL string
	// Timeout of one try. Default 10s.
	Timeout time.Duration
	// Retries is how often a try that got no answer is repeated before that is said. Default 3; -1: never.
	Retries int
	// Every is how often one that says wait is asked again. Default 10s.
	Every time.Duration
	// Key names a file with the key of the signature, among the keys of whoever asks. Empty: not signed.
	Key string
	// Header is sent with each request.
	Header map[string]string
}

// Job is a command that ends well or not: on a cluster a Job made from a CronJob of the namespace, on one machine a process.
type Job struct {
	// From names the CronJob.
	From string
	// Command is the process, without a shell.
	Command []string
	// Timeout is when it is ended and has failed. Default 5m.
	Timeout time.Duration
}

// Window is when rollouts may happen.
type Window struct {
	// Zone of all times, such as Europe/Berlin. Default UTC.
	Zone string
	// Allow lists hours of days; inside any of them it is open. Empty: always.
	Allow []Hours
	// Freeze lists periods in which it is closed.
	Freeze []Freeze
}

// Hours of some days.
type Hours struct {
	// Days as Mon, Tue, ... Empty: each.
	Days []time.Weekday
	// From and To are minutes of the day. To may be less than From: past midnight. Both 0: all day.
	From, To int
}

// Freeze is a period of whole days or of moments, in the window's zone.
type Freeze struct {
	// From and To as 2006-01-02 or 2006-01-02T15:04. A day at the end is in it.
	From, To string
	// Why is told to whoever waits.
	Why string
}

// Kind is the gate's kind in a word.
func (g Gate) Kind() string {
	switch {
	case g.Probe != nil:
		return "probe"
	case g.Prometheus != nil:
		return "prometheus"
	case g.Webhook != nil:
		return "webhook"
	case g.Job != nil:
		return "job"
	case g.Window != nil:
		return "window"
	}
	return ""
}
