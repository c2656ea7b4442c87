// Package check turns what the Z rules found about a service into a report, and finds out what they have to know to try it.
package check

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gapless.dev/gapless/internal/report"
	"gapless.dev/kit/kittest"
)

// A Verdict is the whole in a word.
type Verdict string

// The verdicts.
const (
	// Pass: no MUST failed.
	Pass Verdict = "pass"
	// Fail: a MUST failed; the service is not safe to replace.
	Fail Verdict = "fail"
	// Incomplete: it was cancelled before the verdict was known.
	Incomplete Verdict = "incomplete"
)

// A Report is what one check of a service found.
type Report struct {
	Rules   []Rule  `json:"rules"`
	Verdict Verdict `json:"verdict"`
	// Cause is the first MUST that failed: what fails after it may be its consequence. Where none failed, the first of what only should hold.
	Cause string `json:"cause,omitempty"`
	// Subject is what was checked, in words.
	Subject string `json:"subject"`
	// Service is how it was asked, for whoever goes on from here.
	Service Service `json:"service"`
	// Facts are what the check went by: port, probes, budget; and where it knows them from.
	Facts []string `json:"facts,omitempty"`
	// StartMs is the time from the start of the process to the first readiness, in milliseconds; 0 if it was not seen.
	StartMs float64 `json:"startMs,omitempty"`
	// Traffic is what the stops under load cost.
	Traffic kittest.Traffic `json:"traffic"`
	// Timeline is what happened in the first stop under load.
	Timeline []Event `json:"timeline,omitempty"`
	// LateMs is how late the checking machine itself was at the worst. Moments were judged with that allowance.
	LateMs float64 `json:"lateMs"`
	TookMs float64 `json:"tookMs"`
}

// A Service is what the check went by.
type Service struct {
	// Port is 0 where it can be told.
	Port int `json:"port,omitempty"`
	// Ready and Live are paths, or the words of kittest; HealthPort is theirs if it is not the service's own, and cannot be told.
	Ready      string            `json:"ready,omitempty"`
	Live       string            `json:"live,omitempty"`
	HealthPort int               `json:"healthPort,omitempty"`
	Readiness  kittest.Readiness `json:"readiness,omitempty"`
	GraceMs    float64           `json:"graceMs,omitempty"`
	PreStopMs  float64           `json:"preStopMs,omitempty"`
	DrainMs    float64           `json:"drainMs,omitempty"`
}

// ServiceOf is how a service of that spec is asked.
func ServiceOf(s kittest.Spec, port, healthPort int) Service {
	return Service{
		Port: port, Ready: s.ReadyPath, Live: s.LivePath, HealthPort: healthPort, Readiness: s.Readiness,
		GraceMs: millis(s.Grace), PreStopMs: millis(s.PreStop), DrainMs: millis(s.Drain),
	}
}

// A Rule is the outcome of one rule.
type Rule struct {
	ID     string         `json:"id"`
	Result kittest.Status `json:"result"`
	// Why is the finding in a sentence; of a rule that was skipped, the reason.
	Why string `json:"why"`
	// Evidence is what was seen when.
	Evidence []string `json:"evidence"`
	// Fix is what to do about a failure.
	Fix   string `json:"fix"`
	Title string `json:"title"`
	// Must is unset for what only should hold: a service that fails it still loses nothing.
	Must bool `json:"must"`
	// Matters is what is lost otherwise.
	Matters string `json:"matters"`
}

// An Event happened around a stop.
type Event struct {
	// AtMs is milliseconds after SIGTERM.
	AtMs float64 `json:"atMs"`
	Who  string  `json:"who"`
	What string  `json:"what"`
}

func (e Event) String() string {
	return fmt.Sprintf("%+8.2fs  %-7s  %s", e.AtMs/1000, e.Who, e.What)
}

// Of makes a report of a judgement. Subject and facts are for whoever makes it to fill in.
func Of(j kittest.Judgement, cancelled bool, took time.Duration) Report {
	r := Report{
		Rules: []Rule{}, Verdict: Pass, StartMs: millis(j.Start), Traffic: j.Traffic, LateMs: millis(j.Late), TookMs: millis(took),
	}
	for _, one := range j.Results {
		r.Rules = append(r.Rules, RuleOf(one))
	}
	for _, e := range j.Timeline {
		r.Timeline = append(r.Timeline, Event{AtMs: millis(e.At), Who: e.Who, What: e.What})
	}
	if cause, failed := j.Cause(); failed {
		r.Cause = cause.ID
	}
	switch {
	case !j.Passed():
		r.Verdict = Fail
	case cancelled:
		r.Verdict = Incomplete
	}
	return r
}

// RuleOf is the outcome of one rule.
func RuleOf(one kittest.Result) Rule {
	rules := kittest.Rules()
	rule := rules[slices.IndexFunc(rules, func(k kittest.Rule) bool { return k.ID == one.ID })]
	r := Rule{
		ID: one.ID, Result: one.Status, Why: one.Why, Evidence: []string{}, Fix: rule.Fix,
		Title: one.Title, Must: one.Must, Matters: rule.Why,
	}
	r.Evidence = append(r.Evidence, one.Evidence...)
	return r
}

// Unstarted is the judgement of a service of which no instance got as far as being judged.
func Unstarted(why string) kittest.Judgement {
	var j kittest.Judgement
	for _, rule := range kittest.Rules() {
		one := kittest.Result{ID: rule.ID, Title: rule.Title, Must: rule.Must, Status: kittest.Skip, Why: "blocked by Z3"}
		if rule.ID == "Z3" {
			one.Status, one.Why = kittest.Fail, why
		}
		j.Results = append(j.Results, one)
	}
	return j
}

func millis(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// First is the rule that is the first cause; false if none failed.
func (r Report) First() (Rule, bool) {
	i := slices.IndexFunc(r.Rules, func(one Rule) bool { return one.ID == r.Cause })
	if i < 0 {
		return Rule{}, false
	}
	return r.Rules[i], true
}

// Counts are how many rules came out how; failed only counts MUST.
func (r Report) Counts() (passed, failed, should, skipped int) {
	for _, one := range r.Rules {
		switch {
		case one.Result == kittest.Pass:
			passed++
		case one.Result == kittest.Skip:
			skipped++
		case one.Must:
			failed++
		default:
			should++
		}
	}
	return passed, failed, should, skipped
}

// Headline is the verdict in a few words.
func (r Report) Headline() string {
	switch r.Verdict {
	case Fail:
		return "not safe to replace, first cause " + r.Cause
	case Incomplete:
		return "not decided: it was cancelled"
	}
	return "safe to replace, as far as it was judged"
}

// Sum is how the rules came out, in words.
func (r Report) Sum() string {
	passed, failed, should, skipped := r.Counts()
	var parts []string
	add := func(n int, words string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, words))
		}
	}
	add(passed, "hold")
	add(failed, "failed")
	add(should, "should hold and do not")
	add(skipped, "not judged")
	return strings.Join(parts, ", ")
}

// Cost is what the stops under load cost, in a sentence; empty where none was seen.
func (r Report) Cost() string {
	t := r.Traffic
	if t.Requests == 0 {
		return ""
	}
	text := fmt.Sprintf("%s of the %s requests due from SIGTERM to the end of the drain were lost", report.Count(t.Lost), report.Count(t.Requests))
	if t.Stops > 1 {
		text += fmt.Sprintf(", in %d stops", t.Stops)
	}
	var classes []string
	for class, n := range t.Classes {
		classes = append(classes, fmt.Sprintf("%s %d", class, n))
	}
	if slices.Sort(classes); len(classes) > 0 {
		text += ": " + strings.Join(classes, ", ")
	}
	return text
}

// Formats are the outputs, the default first.
var Formats = []string{"text", "json", "junit", "html"}

// Write writes the report in a format.
func (r Report) Write(w io.Writer, format string) error {
	switch format {
	case "json":
		return r.JSON(w)
	case "junit":
		return r.JUnit(w)
	case "html":
		return r.HTML(w)
	}
	return r.Text(w, Style{})
}
