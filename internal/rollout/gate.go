package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Moment is when gates are asked.
type Moment string

// The moments, in the order of a passage.
const (
	// BeforeStart: nothing of the candidate has started.
	BeforeStart Moment = "beforeStart"
	// DuringStep: a step of a canary stands, or a rolling update shifts. A gate that fails meanwhile turns the passage back at
	// once; it must pass for the passage to go on.
	DuringStep Moment = "step"
	// BeforePromotion: the candidate stands and does not have all traffic yet.
	BeforePromotion Moment = "beforePromotion"
	// AfterPromotion: the candidate has all traffic, and what is left of the old version stands by.
	AfterPromotion Moment = "afterPromotion"
)

// Moments holds them in their order.
var Moments = []Moment{BeforeStart, DuringStep, BeforePromotion, AfterPromotion}

// A Gate asks whether a passage may go on. What it looks at is the platform's affair: the engine knows when it is asked and
// what becomes of its answer.
type Gate struct {
	Name string `json:"name"`
	// At is when it is asked; at least one moment.
	At []Moment `json:"at"`
	// Deadline is how long it may be undecided while the passage waits for nothing but it. Then it is inconclusive. 0: for ever.
	Deadline time.Duration `json:"deadline,omitempty"`
	// Hold has an inconclusive gate wait for a person, who promotes or aborts. Otherwise it turns the passage back.
	Hold bool `json:"hold,omitempty"`
	// DryRun gates are asked and reported, and change nothing but that the passage hears them out, for 10 s at most.
	DryRun bool `json:"dryRun,omitempty"`
}

// An Outcome is what a gate answers.
type Outcome string

// The outcomes. Only Pass lets a passage go on.
const (
	Pass Outcome = "pass"
	Fail Outcome = "fail"
	// Wait: not decided yet.
	Wait Outcome = "wait"
	// Inconclusive: not decided, and it will not be.
	Inconclusive Outcome = "inconclusive"
)

// A Verdict is a gate's newest answer.
type Verdict struct {
	// Of is the Key of the question that it answers. An answer to any other question is none.
	Of      string  `json:"of"`
	Outcome Outcome `json:"outcome"`
	// Reason is one sentence without a full stop. It stays the same while the outcome does.
	Reason string `json:"reason,omitempty"`
	// Detail says it with the newest numbers, and Numbers are what was measured, by name. They are for the report: the engine does not
	// remember them.
	Detail  string             `json:"detail,omitempty"`
	Numbers map[string]float64 `json:"numbers,omitempty"`
	// Memory is what the gate must have back when whoever asks it starts anew, so that nothing it measured is lost or counted twice.
	Memory string `json:"memory,omitempty"`
}

// A Question is put to all gates of a moment.
type Question struct {
	Revision int    `json:"revision"`
	Moment   Moment `json:"moment"`
	// Step is the index of the canary step that it is about.
	Step int `json:"step,omitempty"`
	// Since is when it was put.
	Since time.Time `json:"since"`
	// From is when the passage began to wait for nothing but the answers; zero while it waits for something else.
	From time.Time `json:"from,omitzero"`
	// Waived holds the order that let the passage go on without the answers.
	Waived *Order `json:"waived,omitempty"`
}

// Key tells a question from all others of the app.
func (q Question) Key() string {
	if q.Moment == DuringStep {
		return fmt.Sprintf("%d/%s/%d", q.Revision, q.Moment, q.Step+1)
	}
	return fmt.Sprintf("%d/%s", q.Revision, q.Moment)
}

// GatesAt are the gates that are asked at a moment.
func (p Plan) GatesAt(m Moment) []Gate {
	return slices.DeleteFunc(slices.Clone(p.Gates), func(g Gate) bool { return !slices.Contains(g.At, m) })
}

// gates tells whether the passage may go past a moment, as far as gates are concerned.
type gates int

const (
	open   gates = iota // all of them pass
	closed              // at least one is undecided
	failed              // the passage was turned back
)

// asks tells whether any gate has a say at a moment that the passage has not behind it.
func (l *look) asks(m Moment) bool {
	switch {
	case l.s.Stable == "" || l.s.Full || l.s.Undo || l.seen.Replicas == 0:
		return false // nothing to go back to, a person decided, or nothing to measure
	case m != DuringStep && slices.Index(Moments, m) <= slices.Index(Moments, l.s.Past):
		return false
	}
	asked := l.plan.GatesAt(m)
	if m == AfterPromotion { // the old version is not kept for what only reports
		return slices.ContainsFunc(asked, func(g Gate) bool { return !g.DryRun })
	}
	return len(asked) > 0
}

// hearing is how long a passage waits for what gates only report.
const hearing = 10 * time.Second

// hears tells whether gates that only report have not decided yet, and are heard still. A step has its pause for that.
func (l *look) hears(m Moment, asked []Gate) bool {
	undecided := func(g Gate) bool {
		v := l.s.Gates[g.Name].Outcome
		return g.DryRun && (v == "" || v == Wait)
	}
	return m != DuringStep && slices.ContainsFunc(asked, undecided) && !l.reached(l.s.Asked.Since.Add(hearing))
}

// ask puts the question of a moment, or looks at the answers. alone tells that the passage waits for nothing but them.
func (l *look) ask(m Moment, alone bool) gates {
	if !l.asks(m) {
		return open
	}
	l.put(m)
	q, asked := l.s.Asked, l.plan.GatesAt(m)
	if !alone {
		q.From = time.Time{}
	} else if q.From.IsZero() {
		q.From = l.seen.Now
	}
	switch {
	case q.Waived != nil || len(l.undecided(asked)) == 0 && !l.hears(m, asked):
		l.past(m)
		return open
	case len(l.undecided(asked)) == 0:
		l.say(ReasonGateWaiting, "%s waits for what gates only report, for %s at most", l.s.Candidate, hearing)
	case alone && l.gaveUp(asked):
		return failed
	}
	return closed
}

// past notes that a moment is behind the passage. A step is so only when the next one begins.
func (l *look) past(m Moment) {
	if m == DuringStep {
		return
	}
	l.s.Past, l.s.Asked, l.s.Gates = m, nil, nil
}

// heed takes the newest answers in. A gate that fails turns the passage back at once, whatever else that waits for.
func (l *look) heed() {
	if l.s.Asked == nil || l.s.Asked.Waived != nil || !l.asks(l.s.Asked.Moment) {
		return
	}
	key, heard := l.s.Asked.Key(), map[string]Verdict{}
	for _, g := range l.plan.GatesAt(l.s.Asked.Moment) {
		v, ok := l.seen.Gates[g.Name]
		if !ok || v.Of != key {
			v, ok = l.s.Gates[g.Name] // nothing newer came
		}
		if ok {
			v.Detail, v.Numbers = "", nil
			heard[g.Name] = v
		}
	}
	if l.s.Gates = heard; len(heard) == 0 {
		l.s.Gates = nil
	}
	for _, g := range l.plan.GatesAt(l.s.Asked.Moment) {
		if v := l.s.Gates[g.Name]; !g.DryRun && v.Outcome == Fail {
			l.abort(true, ReasonGateFailed, "gate %s: %s", g.Name, v.Reason)
			return
		}
	}
}

// put asks the question of a moment, if it is not the one that is asked already. The answers to the one before are over.
func (l *look) put(m Moment) {
	q := Question{Revision: l.s.Revision, Moment: m, Since: l.seen.Now}
	if m == DuringStep {
		q.Step = l.s.Step
	}
	if l.s.Asked != nil && l.s.Asked.Key() == q.Key() {
		was := *l.s.Asked // the state that was given stays as it is
		l.s.Asked = &was
		return
	}
	l.s.Asked, l.s.Gates = &q, nil
}

// undecided are the gates that neither pass nor fail, and count.
func (l *look) undecided(asked []Gate) []Gate {
	var all []Gate
	for _, g := range asked {
		if !g.DryRun && l.s.Gates[g.Name].Outcome != Pass {
			all = append(all, g)
		}
	}
	return all
}

// inconclusive are the undecided gates that will not be decided: they say so, or had their time.
func (l *look) inconclusive(asked []Gate) []Gate {
	var all []Gate
	for _, g := range l.undecided(asked) {
		late := g.Deadline > 0 && l.s.Paused == nil && l.reached(l.s.Asked.From.Add(g.Deadline))
		if late || l.s.Gates[g.Name].Outcome == Inconclusive {
			all = append(all, g)
		}
	}
	return all
}

// gaveUp turns the passage back for an inconclusive gate, unless that waits for a person. It tells whether it did.
func (l *look) gaveUp(asked []Gate) bool {
	for _, g := range l.inconclusive(asked) {
		if !g.Hold {
			l.abort(true, ReasonGateInconclusive, "gate %s was not decided%s: %s", g.Name, within(l.s.Gates[g.Name], g), l.saying(g))
			return true
		}
	}
	l.sayGates(asked)
	return false
}

// within is how long an undecided gate was waited for, in words.
func within(v Verdict, g Gate) string {
	if v.Outcome == Inconclusive {
		return ""
	}
	return fmt.Sprintf(" in %s", g.Deadline)
}

// sayGates says which gates the passage waits for.
func (l *look) sayGates(asked []Gate) {
	var stops, waits []string
	stop := l.inconclusive(asked)
	for _, g := range l.undecided(asked) {
		text := fmt.Sprintf("%s (%s)", g.Name, l.saying(g))
		if slices.ContainsFunc(stop, func(s Gate) bool { return s.Name == g.Name }) {
			stops = append(stops, text)
		} else {
			waits = append(waits, text)
		}
	}
	switch {
	case len(waits) > 0:
		l.say(ReasonGateWaiting, "%s waits for %s", l.s.Candidate, strings.Join(waits, ", "))
	default:
		l.say(ReasonAwaitingPromote, "%s: inconclusive; somebody has to promote or abort %s", strings.Join(stops, ", "), l.s.Candidate)
	}
}

func (l *look) saying(g Gate) string {
	if v := l.s.Gates[g.Name]; v.Reason != "" {
		return v.Reason
	}
	return "no answer yet"
}

// atGateStop tells whether nothing but inconclusive gates that wait for a person keep the passage from going on.
func (l *look) atGateStop() bool {
	if l.s.Asked == nil || l.s.Asked.From.IsZero() || l.s.Asked.Waived != nil {
		return false
	}
	asked := l.plan.GatesAt(l.s.Asked.Moment)
	undecided := l.undecided(asked)
	return len(undecided) > 0 && len(undecided) == len(l.inconclusive(asked))
}
