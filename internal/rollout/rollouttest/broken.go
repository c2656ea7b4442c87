package rollouttest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// Broken are engines that are wrong on purpose, each in one way. They are the proof that the worlds would notice.
var Broken = []Engine{
	{Name: "does not drain", Breaks: "I2", Decide: lies(func(p *rollout.Plan, _ *rollout.State, _ *rollout.Snapshot) { p.Drain = 0 })},
	{Name: "shrinks before it shifts", Breaks: "I2, I3", Decide: edits(shrinkWithRoute)},
	{Name: "swaps without reading back", Breaks: "I2, I3", Decide: lies(believeRoute)},
	{Name: "gives weight to an empty candidate", Breaks: "I1", Decide: lies(fullCandidate)},
	{Name: "gives weight before all of it serves", Breaks: "I1", Decide: lies(roundUpCandidate)},
	{Name: "brings no capacity back on abort", Breaks: "I6, I8", Decide: edits(noCapacityOnAbort)},
	{Name: "brings traffic back before capacity on abort", Breaks: "I6", Decide: lies(fullStableOnAbort)},
	{Name: "makes two writes in a breath", Breaks: "I3", Decide: twoBreathsInOne},
	{Name: "forgets the refused version", Breaks: "Held", Decide: lies(func(_ *rollout.Plan, s *rollout.State, _ *rollout.Snapshot) { s.Rejected = "" })},
	{Name: "ignores the deadline", Breaks: "I8", Decide: lies(func(p *rollout.Plan, _ *rollout.State, _ *rollout.Snapshot) { p.Deadline = 0 })},
	{Name: "saves after it acted", Breaks: "I5", Decide: Right.Decide, SavesAfter: true},
	{Name: "trusts late looks", Breaks: "I2, I4", Decide: lies(func(_ *rollout.Plan, s *rollout.State, _ *rollout.Snapshot) { s.LookedAt = time.Time{} })},
	{Name: "scales stable down when it promotes", Breaks: "I2, I4", Decide: edits(shrinkOnPromote)},
	{Name: "never gives the app back", Breaks: "I9", Decide: edits(without(rollout.Release))},
	{Name: "never writes the template back", Breaks: "I9", Decide: edits(without(rollout.WriteBack))},
	{Name: "never removes what it aborted", Breaks: "I8", Decide: edits(without(rollout.Remove))},
	{Name: "decides otherwise each time", Breaks: "I5", Decide: fickle},
	{Name: "leaves its weight to a dead candidate", Breaks: "I7", Decide: lies(undeadCandidate)},
	{Name: "takes for lost what the data plane has not heard of", Breaks: "I7", Decide: lies(deaf)},
	{Name: "counts what was told to go on the way back", Breaks: "nothing is lost", Decide: lies(countingTheLeaving)},
	{Name: "gives up no instance before it is back", Breaks: "I8", Decide: edits(unyielding)},
	{Name: "obeys an order again", Breaks: "orders", Decide: lies(func(_ *rollout.Plan, s *rollout.State, _ *rollout.Snapshot) { s.Done = 0 })},
	{Name: "does not follow scaling", Breaks: "I9", Decide: lies(frozenReplicas)},
	{Name: "writes back over a newer template", Breaks: "I6", Decide: edits(writeBackOverAnything)},
	{Name: "removes before the drain", Breaks: "I2", Decide: edits(removeAtOnce)},
	{Name: "walks past manual stops", Breaks: "promote", Decide: lies(noManualStops)},
	{Name: "asks no gate", Breaks: "G2", Decide: lies(func(p *rollout.Plan, _ *rollout.State, _ *rollout.Snapshot) { p.Gates = nil })},
	{Name: "takes an undecided gate for one that passed", Breaks: "G2", Decide: lies(undecidedPasses)},
	{Name: "goes on when a gate fails", Breaks: "G1, G2", Decide: lies(turnVerdicts(rollout.Fail, rollout.Wait))},
	{Name: "takes a gate that failed for one that passed", Breaks: "G1, G2", Decide: lies(turnVerdicts(rollout.Fail, rollout.Pass))},
	{Name: "obeys gates that only report", Breaks: "G3", Decide: lies(obeyDryRuns)},
	{Name: "takes the answer to another question", Breaks: "G2", Decide: lies(anyAnswer)},
	{Name: "asks nothing after the promotion", Breaks: "G2", Decide: lies(neverAt(rollout.AfterPromotion))},
	{Name: "asks nothing before the start", Breaks: "G2", Decide: lies(neverAt(rollout.BeforeStart))},
	{Name: "waits for ever for a gate", Breaks: "I8", Decide: lies(patientGates)},
	{Name: "takes more room than its plan says", Breaks: "I11", Decide: lies(func(p *rollout.Plan, _ *rollout.State, _ *rollout.Snapshot) { p.MaxSurge += 2 })},
	{Name: "adds weights up to more than there is", Breaks: "I1", Decide: edits(oversum)},
}

// lies makes an engine that is right about a world that is not so. The lie is told about copies.
func lies(lie func(*rollout.Plan, *rollout.State, *rollout.Snapshot)) func() Decider {
	return func() Decider {
		return func(p rollout.Plan, s rollout.State, seen rollout.Snapshot) rollout.Decision {
			p.Steps = slices.Clone(p.Steps)
			seen.Versions = maps.Clone(seen.Versions)
			done := s.Done
			lie(&p, &s, &seen)
			d := rollout.Decide(p, s, seen)
			d.State.Done = max(d.State.Done, done)
			return d
		}
	}
}

// edits makes an engine whose right decisions are spoilt before they are carried out.
func edits(edit func(p rollout.Plan, seen rollout.Snapshot, d *rollout.Decision)) func() Decider {
	return func() Decider {
		return func(p rollout.Plan, s rollout.State, seen rollout.Snapshot) rollout.Decision {
			d := rollout.Decide(p, s, seen)
			edit(p, seen, &d)
			return d
		}
	}
}

func without(k rollout.ActionKind) func(rollout.Plan, rollout.Snapshot, *rollout.Decision) {
	return func(_ rollout.Plan, _ rollout.Snapshot, d *rollout.Decision) {
		d.Actions = slices.DeleteFunc(slices.Clone(d.Actions), func(a rollout.Action) bool { return a.Kind == k })
	}
}

func routed(d *rollout.Decision) bool {
	return slices.ContainsFunc(d.Actions, func(a rollout.Action) bool { return a.Kind == rollout.SetRoute })
}

func shrinkWithRoute(_ rollout.Plan, seen rollout.Snapshot, d *rollout.Decision) {
	if s := d.State; s.Phase == rollout.Promoting && s.Weight() == 100 && routed(d) && seen.Versions[s.Stable].Asked > 0 {
		d.Actions = append([]rollout.Action{{Kind: rollout.Scale, Version: s.Stable}}, d.Actions...)
	}
}

func shrinkOnPromote(_ rollout.Plan, seen rollout.Snapshot, d *rollout.Decision) {
	if s := d.State; s.Phase == rollout.Promoting && !routed(d) && seen.Versions[s.Stable].Asked > 0 {
		d.Actions = append(d.Actions, rollout.Action{Kind: rollout.Scale, Version: s.Stable})
	}
}

func believeRoute(_ *rollout.Plan, s *rollout.State, seen *rollout.Snapshot) {
	seen.Route, seen.Grade = s.Route, rollout.Seen
	s.ToldAt = time.Time{}
}

func fullCandidate(_ *rollout.Plan, s *rollout.State, seen *rollout.Snapshot) {
	if c, ok := seen.Versions[s.Candidate]; ok && s.Phase == rollout.Preparing {
		c.Serving = c.Asked
		seen.Versions[s.Candidate] = c
	}
}

func roundUpCandidate(_ *rollout.Plan, s *rollout.State, seen *rollout.Snapshot) {
	if c, ok := seen.Versions[s.Candidate]; ok && c.Serving > 0 {
		c.Serving = max(c.Serving, c.Asked)
		seen.Versions[s.Candidate] = c
	}
}

func undeadCandidate(_ *rollout.Plan, s *rollout.State, seen *rollout.Snapshot) {
	if c, ok := seen.Versions[s.Candidate]; ok && s.Weight() > 0 {
		c.Serving = c.Asked
		seen.Versions[s.Candidate] = c
	}
}

func unyielding(_ rollout.Plan, _ rollout.Snapshot, d *rollout.Decision) {
	if s := d.State; s.Phase == rollout.Aborting {
		d.Actions = slices.DeleteFunc(slices.Clone(d.Actions), func(a rollout.Action) bool {
			return a.Kind == rollout.Scale && a.Version == s.Candidate && a.Replicas > 0
		})
	}
}

func countingTheLeaving(_ *rollout.Plan, s *rollout.State, seen *rollout.Snapshot) {
	if st, ok := seen.Versions[s.Stable]; ok && (s.Phase == rollout.Finishing || s.Phase == rollout.Aborting) {
		st.Asked = max(st.Asked, st.Serving)
		seen.Versions[s.Stable] = st
	}
}

func deaf(_ *rollout.Plan, s *rollout.State, seen *rollout.Snapshot) {
	if c, ok := seen.Versions[s.Candidate]; ok {
		c.Unlisted = 0
		seen.Versions[s.Candidate] = c
	}
}

func fullStableOnAbort(_ *rollout.Plan, s *rollout.State, seen *rollout.Snapshot) {
	if st, ok := seen.Versions[s.Stable]; ok && s.Phase == rollout.Aborting {
		st.Serving = seen.Replicas
		seen.Versions[s.Stable] = st
	}
}

func noCapacityOnAbort(_ rollout.Plan, _ rollout.Snapshot, d *rollout.Decision) {
	if d.State.Phase == rollout.Aborting {
		d.Actions = slices.DeleteFunc(slices.Clone(d.Actions), func(a rollout.Action) bool {
			return a.Kind == rollout.Scale && a.Version == d.State.Stable
		})
	}
}

// twoBreathsInOne takes its own writes for done and decides once more on top of them.
func twoBreathsInOne() Decider {
	return func(p rollout.Plan, s rollout.State, seen rollout.Snapshot) rollout.Decision {
		first := rollout.Decide(p, s, seen)
		if !routed(&first) {
			return first
		}
		seen.Route, seen.Grade = first.State.Route, rollout.Seen
		seen.Now = seen.Now.Add(p.Drain + time.Second)
		second := rollout.Decide(p, first.State, seen)
		second.Actions = append(first.Actions, second.Actions...)
		second.Answers = append(first.Answers, second.Answers...)
		return second
	}
}

// fickle counts its own calls.
func fickle() Decider {
	calls := 0
	return func(p rollout.Plan, s rollout.State, seen rollout.Snapshot) rollout.Decision {
		d := rollout.Decide(p, s, seen)
		if calls++; calls%7 == 0 {
			d.Message += fmt.Sprintf(" (look %d)", calls)
			d.State.Message = d.Message
		}
		return d
	}
}

func frozenReplicas(_ *rollout.Plan, s *rollout.State, seen *rollout.Snapshot) {
	if s.Replicas > 0 {
		seen.Replicas = s.Replicas
	}
}

func writeBackOverAnything(_ rollout.Plan, seen rollout.Snapshot, d *rollout.Decision) {
	if s := d.State; s.Phase == rollout.Aborting && seen.Wanted != s.Stable && s.Stable != "" && !routed(d) {
		d.Actions = append(d.Actions, rollout.Action{Kind: rollout.WriteBack, Version: s.Stable, Over: seen.Wanted})
	}
}

func removeAtOnce(_ rollout.Plan, seen rollout.Snapshot, d *rollout.Decision) {
	if s := d.State; s.Phase == rollout.Aborting && !routed(d) {
		if _, there := seen.Versions[s.Candidate]; there {
			d.Actions = append(d.Actions, rollout.Action{Kind: rollout.Remove, Version: s.Candidate})
		}
	}
}

func noManualStops(p *rollout.Plan, _ *rollout.State, _ *rollout.Snapshot) {
	p.Manual = false
	for i := range p.Steps {
		p.Steps[i].Manual = false
	}
}

func oversum(_ rollout.Plan, _ rollout.Snapshot, d *rollout.Decision) {
	if s := &d.State; routed(d) && len(s.Route.Weights) > 1 {
		w := maps.Clone(s.Route.Weights)
		w[s.Candidate]++
		s.Route.Weights = w
		for i := range d.Actions {
			if d.Actions[i].Kind == rollout.SetRoute {
				d.Actions[i].Route = &s.Route
			}
		}
	}
}

func undecidedPasses(p *rollout.Plan, s *rollout.State, seen *rollout.Snapshot) {
	if s.Asked == nil {
		return
	}
	seen.Gates = maps.Clone(seen.Gates)
	if seen.Gates == nil {
		seen.Gates = map[string]rollout.Verdict{}
	}
	for _, g := range p.Gates {
		if v := seen.Gates[g.Name]; v.Of != s.Asked.Key() || v.Outcome == rollout.Wait {
			seen.Gates[g.Name] = rollout.Verdict{Of: s.Asked.Key(), Outcome: rollout.Pass}
		}
	}
}

func turnVerdicts(from, to rollout.Outcome) func(*rollout.Plan, *rollout.State, *rollout.Snapshot) {
	return func(_ *rollout.Plan, _ *rollout.State, seen *rollout.Snapshot) {
		seen.Gates = maps.Clone(seen.Gates)
		for name, v := range seen.Gates {
			if v.Outcome == from {
				v.Outcome = to
				seen.Gates[name] = v
			}
		}
	}
}

func obeyDryRuns(p *rollout.Plan, _ *rollout.State, _ *rollout.Snapshot) {
	p.Gates = slices.Clone(p.Gates)
	for i := range p.Gates {
		p.Gates[i].DryRun = false
	}
}

func anyAnswer(_ *rollout.Plan, s *rollout.State, seen *rollout.Snapshot) {
	if s.Asked == nil {
		return
	}
	seen.Gates = maps.Clone(seen.Gates)
	for name, v := range seen.Gates {
		v.Of = s.Asked.Key()
		seen.Gates[name] = v
	}
}

func neverAt(m rollout.Moment) func(*rollout.Plan, *rollout.State, *rollout.Snapshot) {
	return func(p *rollout.Plan, _ *rollout.State, _ *rollout.Snapshot) {
		p.Gates = slices.Clone(p.Gates)
		for i := range p.Gates {
			p.Gates[i].At = slices.DeleteFunc(slices.Clone(p.Gates[i].At), func(at rollout.Moment) bool { return at == m })
		}
	}
}

func patientGates(p *rollout.Plan, s *rollout.State, seen *rollout.Snapshot) {
	p.Gates = slices.Clone(p.Gates)
	for i := range p.Gates {
		p.Gates[i].Deadline = 0
	}
	turnVerdicts(rollout.Inconclusive, rollout.Wait)(p, s, seen)
}
