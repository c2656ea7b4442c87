package report

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Traffic is what a probe counted: how many requests, how many were lost, how, when, and for how long nothing was answered.
type Traffic struct {
	// URL is what was asked for, and Rate how many requests a second were due.
	URL string `json:"url,omitempty"`
	// On is where it was sent from, if that was a pod of a cluster.
	On   *Place  `json:"on,omitempty"`
	Rate float64 `json:"rate,omitempty"`
	// Started is when the first request was due; offsets below count from it. Elapsed is how long requests were due.
	Started time.Time `json:"started,omitzero"`
	Elapsed Millis    `json:"elapsedMs,omitempty"`

	// Requests counts the requests that were due and are over. Each was attempted once.
	Requests int `json:"requests"`
	// Lost counts those without a complete and right answer. It is the sum of Losses.
	Lost int `json:"lost"`
	// LongestGap is the longest stretch in which requests were lost, by the times at which they were due. 0: none was lost.
	LongestGap Millis `json:"longestGapMs"`
	// Versions counts the answers by the version that gave them, "" where it was not told. Lost requests do not count.
	Versions map[string]int `json:"versions"`
	// Losses counts the losses by class, such as refused. Classes without a loss are absent.
	Losses map[string]int `json:"losses"`
	// Latency is of answered requests, from when they were due.
	Latency Quantiles `json:"latencyMs"`
	// Verdict is the whole in one word.
	Verdict Verdict `json:"verdict"`

	// LossBelow is the share of requests (0 to 1) that the true loss is below with 95 % confidence, and Bound says it in a sentence.
	LossBelow float64 `json:"lossBelow"`
	Bound     string  `json:"bound"`

	// ScheduleError is by how much requests started late: how far the probe itself can be trusted.
	ScheduleError Quantiles `json:"scheduleErrorMs"`
	// Connections counts by connection (new, reused), Protocols by protocol, Methods by method.
	Connections map[string]int `json:"connections,omitempty"`
	Protocols   map[string]int `json:"protocols,omitempty"`
	Methods     map[string]int `json:"methods,omitempty"`

	// Bucket is the width of each element of Timeline, which lists the counts over time without holes.
	Bucket   Millis   `json:"bucketMs,omitempty"`
	Timeline []Bucket `json:"timeline,omitempty"`
	// Gaps lists the stretches of loss in order. At most 1,000 are listed.
	Gaps []Gap `json:"gaps,omitempty"`
	// Marks lists what happened meanwhile, as told to the probe from outside.
	Marks []Mark `json:"marks,omitempty"`
	// Warnings says what weakens the evidence, such as a prober that could not keep its schedule. Each is a whole sentence.
	Warnings []string `json:"warnings,omitempty"`
	// Examples shows some lost requests in full: the first of each class, and then the first, 20 at most.
	Examples []Loss `json:"examples,omitempty"`
}

// A Verdict is the outcome of a probe in one word.
type Verdict string

// The verdicts.
const (
	// NoneLost: every request was answered.
	NoneLost Verdict = "none-lost"
	// SomeLost: at least one was not.
	SomeLost Verdict = "lost"
	// NothingSent: there was no request to judge by.
	NothingSent Verdict = "nothing-sent"
)

// Quantiles sum up durations. All 0 when there were none.
type Quantiles struct {
	P50 Millis `json:"p50"`
	P99 Millis `json:"p99"`
	Max Millis `json:"max"`
}

// A Bucket counts the requests that were due in one stretch of time.
type Bucket struct {
	// Start is the offset at which it begins.
	Start Millis `json:"startMs"`
	// Versions counts the answers by version.
	Versions map[string]int `json:"versions,omitempty"`
	// Lost counts the losses, and Losses the same by class.
	Lost   int            `json:"lost,omitempty"`
	Losses map[string]int `json:"losses,omitempty"`
}

// Answered counts the answers of all versions.
func (b Bucket) Answered() int {
	n := 0
	for _, v := range b.Versions {
		n += v
	}
	return n
}

// A Gap is a stretch in which requests were lost: losses whose due times are at most two intervals apart.
type Gap struct {
	// Start is the offset at which the first was due. Length reaches to one interval after the last,
	// since nothing is known to have been answered until the next request.
	Start  Millis `json:"startMs"`
	Length Millis `json:"lengthMs"`
	// Lost counts the requests lost in it, and Losses the same by class.
	Lost   int            `json:"lost"`
	Losses map[string]int `json:"losses"`
}

// A Mark is something that happened at a moment, such as the start of a phase.
type Mark struct {
	At   Millis `json:"atMs"`
	Name string `json:"name"`
}

// A Loss is one lost request.
type Loss struct {
	// At is the offset at which it was due, After how long the loss took to show.
	At    Millis `json:"atMs"`
	After Millis `json:"afterMs"`
	// ID is what the request carried in its header Gapless-Request-Id.
	ID         string `json:"id"`
	Class      string `json:"class"`
	Error      string `json:"error"`
	Status     int    `json:"status,omitempty"`
	Method     string `json:"method"`
	Protocol   string `json:"protocol"`
	Connection string `json:"connection"`
}

// VersionNames lists the versions that answered, in the order in which they first did.
func (t Traffic) VersionNames() []string {
	var names []string
	add := func(counts map[string]int) {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, b := range t.Timeline {
		add(b.Versions)
	}
	add(t.Versions)
	return names
}

// longestGaps lists the n longest in order of time.
func (t Traffic) longestGaps(n int) []Gap {
	gaps := slices.Clone(t.Gaps)
	slices.SortStableFunc(gaps, func(a, b Gap) int { return cmp.Compare(b.Length, a.Length) })
	gaps = gaps[:min(len(gaps), n)]
	slices.SortFunc(gaps, func(a, b Gap) int { return cmp.Compare(a.Start, b.Start) })
	return gaps
}
