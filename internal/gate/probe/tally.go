package probe

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/compare"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/kit/load"
)

const (
	// learning is how many answers of stable tell what is slow.
	learning = 40
	// leastSlow is what an answer must take longer than the usual to be slow: below it, clocks and schedulers speak.
	leastSlow = 5 * time.Millisecond
	// slowTolerance is by how much the candidate's share of slow answers may be above stable's.
	slowTolerance = 0.1
)

// kept is what must survive a restart.
type kept struct {
	// Lost and Slow compare the two versions, and Entry the address that clients use with stable's instances.
	Lost  compare.Record `json:"lost"`
	Slow  compare.Record `json:"slow"`
	Entry compare.Record `json:"entry"`
	// Threshold is from where on an answer is slow. 0: not learned yet.
	Threshold time.Duration `json:"threshold,omitempty"`
	// Good holds the comparisons that were good at some look.
	Good []string `json:"good,omitempty"`
}

// closed is what is known of the bins that are over: a bin is remembered whole or not at all.
func (k kept) closed(now time.Time) string {
	k.Lost, k.Slow, k.Entry = k.Lost.Closed(now), k.Slow.Closed(now), k.Entry.Closed(now)
	text, _ := json.Marshal(k) // numbers can be encoded
	return string(text)
}

// A result is one request whose bin is not closed yet.
type result struct {
	target
	load.Result
}

// A tally takes results in from any goroutine, and counts them when all of their time have come in.
type tally struct {
	spec        spec.Probe
	width, beat time.Duration

	mu      sync.Mutex
	pending []result

	kept      kept
	memory    string
	memoryAt  time.Time                  // up to where memory holds the bins
	began     time.Time                  // when the first request was due
	usual     []time.Duration            // of stable's answers, while what is slow is being learned
	names     map[string]rollout.Version // what versions call themselves
	twoOfName map[string]bool            // what both call themselves
}

func newTally(p *Probe, memory string) *tally {
	t := &tally{spec: p.spec, width: p.width, beat: p.beat, names: map[string]rollout.Version{}, twoOfName: map[string]bool{}}
	if err := json.Unmarshal([]byte(memory), &t.kept); err != nil {
		t.kept = kept{}
	}
	for _, r := range []*compare.Record{&t.kept.Lost, &t.kept.Slow, &t.kept.Entry} {
		if r.Width == 0 {
			r.Width = p.width
		}
	}
	t.memory = memory
	return t
}

func (t *tally) take(to target, r load.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = append(t.pending, result{to, r})
}

// lag is after how long nothing more can come in of a moment.
func (t *tally) lag() time.Duration { return t.spec.Timeout + t.beat }

// count files the results that are old enough.
func (t *tally) count(now time.Time, s gate.Subject, saw func(gate.Sighting)) {
	t.mu.Lock()
	due := t.pending
	var young []result
	for i := range due {
		if now.Sub(due[i].Scheduled) < t.lag() {
			young = append(young, due[i])
		}
	}
	t.pending = young
	t.mu.Unlock()
	due = slices.DeleteFunc(slices.Clone(due), func(r result) bool { return now.Sub(r.Scheduled) < t.lag() })
	slices.SortFunc(due, func(a, b result) int { return a.Scheduled.Compare(b.Scheduled) })
	for _, r := range due {
		if t.began.IsZero() {
			t.began = r.Scheduled
		}
		switch {
		case r.Class == load.Overload: // ours, and nobody else's
		case r.version == "":
			t.fileEntry(r, saw)
		case !leaving(s, r.target):
			t.file(r, s)
		}
	}
}

// leaving tells whether an instance is on its way out or gone: what is lost there says nothing about its version.
func leaving(s gate.Subject, to target) bool {
	for _, side := range []gate.Side{s.Stable, s.Candidate} {
		for _, i := range side.Instances {
			if side.Version == to.version && i.Name == to.instance {
				return i.Leaving
			}
		}
	}
	return true
}

func (t *tally) file(r result, s gate.Subject) {
	candidate := r.version == s.Candidate.Version
	put := func(record *compare.Record, bad bool) {
		c := compare.Count{Total: 1}
		if bad {
			c.Bad = 1
		}
		if candidate {
			record.Add(r.Scheduled, compare.Bin{Candidate: c})
		} else {
			record.Add(r.Scheduled, compare.Bin{Stable: c})
		}
	}
	put(&t.kept.Lost, r.Class.Lost())
	if !candidate {
		c := compare.Count{Total: 1}
		if r.Class.Lost() {
			c.Bad = 1
		}
		t.kept.Entry.Add(r.Scheduled, compare.Bin{Stable: c})
	}
	if r.Class.Lost() {
		return
	}
	if was, known := t.names[r.Version]; known && was != r.version {
		t.twoOfName[r.Version] = true
	}
	t.names[r.Version] = r.version
	if t.threshold() > 0 {
		put(&t.kept.Slow, r.Latency() > t.threshold())
	} else if !candidate && r.Scheduled.Sub(t.began) > t.width { // the first connections are no measure
		t.learn(r.Latency())
	}
}

// threshold is from where on an answer is slow; 0: not known yet.
func (t *tally) threshold() time.Duration {
	if t.spec.Slow > 0 {
		return t.spec.Slow
	}
	return t.kept.Threshold
}

// learn takes half as much again as stable's usual answer takes.
func (t *tally) learn(took time.Duration) {
	if t.usual = append(t.usual, took); len(t.usual) < learning {
		return
	}
	slices.Sort(t.usual)
	usual := t.usual[len(t.usual)/2]
	t.kept.Threshold = max(usual+usual/2, usual+leastSlow).Round(100 * time.Microsecond)
	t.usual = nil
}

// fileEntry counts a request through the address that clients use.
func (t *tally) fileEntry(r result, saw func(gate.Sighting)) {
	c := compare.Count{Total: 1}
	if r.Class.Lost() {
		c.Bad = 1
	} else if v, known := t.names[r.Version]; known && !t.twoOfName[r.Version] {
		saw(gate.Sighting{Version: v, Began: r.Started})
	}
	t.kept.Entry.Add(r.Scheduled, compare.Bin{Candidate: c})
}

// A part is one comparison of the gate.
type part struct {
	name      string
	record    compare.Record
	tolerance float64
	what      string
	needed    bool // passing takes evidence that it is good
}

func (t *tally) verdict(now time.Time, s gate.Subject) rollout.Verdict {
	slow := fmt.Sprintf("answers slower than %s", t.threshold())
	parts := []part{
		{"lost", t.kept.Lost, t.spec.Tolerance, "lost requests", true},
		{"slow", t.kept.Slow, slowTolerance, slow, len(s.Stable.Serving()) > 0 || len(t.kept.Slow.Bins) > 0},
		{"entry", t.kept.Entry, t.spec.Tolerance, "lost requests through " + s.Entry, entered(t.spec, s) && len(t.kept.Entry.Bins) > 0},
	}
	v := rollout.Verdict{Outcome: rollout.Pass, Reason: "no more lost and no slower than stable", Numbers: map[string]float64{}}
	for _, p := range parts {
		f := compare.Judge(compare.Rule{Tolerance: p.tolerance}, alone(p, p.record.Until(now.Add(-t.lag()))))
		v.Numbers[p.name+"_stable"], v.Numbers[p.name+"_stable_total"] = f.Stable.Bad, f.Stable.Total
		v.Numbers[p.name+"_candidate"], v.Numbers[p.name+"_candidate_total"] = f.Candidate.Bad, f.Candidate.Total
		if f.Bins > 0 {
			v.Detail += fmt.Sprintf("%s: %s against %s of stable's; ", p.what, f.Candidate, f.Stable)
		}
		if f.Verdict == compare.Good && !slices.Contains(t.kept.Good, p.name) {
			t.kept.Good = append(t.kept.Good, p.name)
		}
		switch {
		case f.Verdict == compare.Worse && v.Outcome != rollout.Fail:
			v.Outcome, v.Reason = rollout.Fail, fmt.Sprintf("%s: %s of the candidate's against %s of stable's", p.what, f.Candidate, f.Stable)
		case v.Outcome == rollout.Pass && p.needed && !slices.Contains(t.kept.Good, p.name):
			v.Outcome, v.Reason = rollout.Wait, "not enough evidence yet"
		}
	}
	if len(s.Candidate.Serving()) == 0 && v.Outcome == rollout.Wait {
		v.Reason = "no instance of the candidate serves"
	}
	if d := t.threshold(); d > 0 {
		v.Numbers["slow_threshold_seconds"] = d.Seconds()
	}
	if len(v.Detail) > 2 {
		v.Detail = v.Detail[:len(v.Detail)-2]
	}
	// Once a bin, and not at each look: what is remembered is written down.
	if over := now.Add(-t.lag()).Truncate(t.width); over.After(t.memoryAt) {
		t.memoryAt, t.memory = over, t.kept.closed(now.Add(-t.lag()))
	}
	v.Memory = t.memory
	return v
}

// alone compares a candidate that stands by itself with one that loses nothing.
func alone(p part, bins []compare.Bin) []compare.Bin {
	if p.name == "slow" || slices.ContainsFunc(bins, func(b compare.Bin) bool { return b.Stable.Total > 0 }) {
		return bins
	}
	for i := range bins {
		bins[i].Stable.Total = bins[i].Candidate.Total
	}
	return bins
}
