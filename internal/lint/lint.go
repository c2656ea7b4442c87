// Package lint judges Kubernetes manifests by the K rules: what in them would lose requests when a pod is replaced. It is pure: files
// come in as bytes, and findings and new bytes go out.
package lint

import (
	"cmp"
	"fmt"
	"slices"

	"gapless.dev/gapless/internal/lint/manifest"
)

// Severity says how surely requests are lost.
type Severity string

// The severities, worst first.
const (
	// Error: a replacement loses requests, or cannot go through.
	Error Severity = "error"
	// Warning: requests are lost when something else happens too, such as a node that is drained.
	Warning Severity = "warning"
	// Info: it cannot be seen from here, or costs little.
	Info Severity = "info"
)

// Severities are all severities, worst first.
var Severities = []Severity{Error, Warning, Info}

// AtLeast reports whether s is as bad as other, or worse.
func (s Severity) AtLeast(other Severity) bool {
	return slices.Index(Severities, s) <= slices.Index(Severities, other)
}

// Mend says who can put a finding right.
type Mend string

// The ways to mend.
const (
	// Auto: the right value follows from what is written; --fix writes it.
	Auto Mend = "auto"
	// Ask: --fix writes it once a value is given: by a flag, a check report or a person. It is never guessed.
	Ask Mend = "ask"
	// Explain: a person has to decide; the fix is said in words.
	Explain Mend = "explain"
)

// A Rule is one of the K rules.
type Rule struct {
	ID    string
	Title string
	// Why says in a sentence or two what goes wrong without it.
	Why string
	// Source is where the behaviour that makes the rule necessary can be read up.
	Source string
	// Fix is how far the rule's findings can be mended. A single finding can say less, when what is written leaves a choice.
	Fix Mend
	// Asks are the values that the rule takes by --set.
	Asks []Question
	// Limits says what the rule cannot see. Empty if nothing is worth saying.
	Limits string
	// Unseen says what of these objects the rule would have to know and cannot; empty if nothing. May be nil.
	Unseen func(*World) string
	// Check is pure and finds everything that breaks the rule.
	Check func(*World) []Finding
}

// A Question is a value that only a person or a measurement can give.
type Question struct {
	// Key is its name after the rule's: K3.start.
	Key string `json:"key"`
	// Text asks for it, with an example of an answer.
	Text string `json:"text"`
	// Check refuses answers that are none, with the reason.
	Check func(answer string) error `json:"-"`
}

// A Finding is one place that breaks a rule.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	// Object is such as Deployment/api, or Deployment/shop/api with a namespace.
	Object string `json:"object"`
	// Field is the path within the object.
	Field string `json:"field"`
	File  string `json:"file"`
	// Line is 0 for what stands in a cluster.
	Line int `json:"line,omitempty"`
	// What is wrong here, with the values that are written.
	What string `json:"what"`
	// Why it matters.
	Why string `json:"why"`
	// Fix is what to do about it.
	Fix string `json:"fix"`
	// Mend is how --fix treats this finding.
	Mend Mend `json:"mend"`
	// Ask is the value that is missing for a mend that asks.
	Ask *Question `json:"ask,omitempty"`
	// Ignored is the reason given in an annotation; empty if the finding counts.
	Ignored string `json:"ignored,omitempty"`

	// Edits put it right.
	Edits []manifest.Edit `json:"-"`

	value manifest.Value
}

// At places a finding.
func (f Finding) At(v manifest.Value) Finding {
	f.value = v
	f.Object, f.Field, f.File, f.Line = v.Object().ID(), v.Path(), v.Object().File.Name, v.Line()
	if v.Object().File.Live {
		f.Line = 0
	}
	return f
}

// Place is the file and the line, or what stands in a cluster.
func (f Finding) Place() string {
	if f.Line == 0 {
		return f.File
	}
	return fmt.Sprintf("%s:%d", f.File, f.Line)
}

// Run applies the rules in their order. Findings come by file and line; those that an annotation ignores are among them, with the reason.
func Run(rules []Rule, w *World) []Finding {
	var all []Finding
	for _, rule := range rules {
		for _, f := range rule.Check(w) {
			f.Rule = rule.ID
			f.Why = cmp.Or(f.Why, rule.Why)
			f.Mend = mendOf(f)
			all = append(all, f)
		}
	}
	all = ignore(rules, w, all)
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return all
}

func mendOf(f Finding) Mend {
	switch {
	case len(f.Edits) > 0:
		return Auto
	case f.Ask != nil:
		return Ask
	}
	return Explain
}

// Worst is the worst severity among the findings that count; false if none counts.
func Worst(all []Finding) (Severity, bool) {
	for _, s := range Severities {
		if slices.ContainsFunc(all, func(f Finding) bool { return f.Severity == s && f.Ignored == "" }) {
			return s, true
		}
	}
	return "", false
}

// Known reports whether s is a severity at all.
func (s Severity) Known() bool { return slices.Contains(Severities, s) }
