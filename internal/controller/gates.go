package controller

import (
	"maps"
	"slices"

	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// gates writes down what the gates answered to the question that was put before the decision, and the one that is put by it.
func gates(r *report.Report, seen Seen, d rollout.Decision) {
	if q := seen.State.Asked; q != nil && q.Revision == r.Revision {
		for _, g := range seen.Plan.GatesAt(q.Moment) {
			v, answered := seen.Snapshot.Gates[g.Name]
			if !answered || v.Of != q.Key() {
				v = seen.State.Gates[g.Name]
			}
			note(r, *q, g, v, seen)
		}
	}
	if q := d.State.Asked; q != nil && q.Revision == r.Revision {
		for _, g := range seen.Plan.GatesAt(q.Moment) {
			note(r, *q, g, d.State.Gates[g.Name], seen)
		}
	}
}

// note writes one answer in the place of the one before it to the same question.
func note(r *report.Report, q rollout.Question, g rollout.Gate, v rollout.Verdict, seen Seen) {
	next := report.Gate{
		Name: g.Name, At: string(q.Moment), DryRun: g.DryRun, Outcome: string(v.Outcome), Reason: v.Reason, Detail: v.Detail,
		Numbers: maps.Clone(v.Numbers), Asked: q.Since, Answered: seen.Snapshot.Now,
	}
	if q.Moment == rollout.DuringStep && seen.Plan.Strategy == rollout.Canary {
		next.Step = q.Step + 1
	}
	if next.Outcome == "" {
		next.Outcome, next.Reason = string(rollout.Wait), "no answer yet"
	}
	if q.Waived != nil && next.Outcome != string(rollout.Pass) {
		next.WaivedBy = q.Waived.By
	}
	r.Gates = slices.Clone(r.Gates)
	for i, was := range r.Gates {
		if was.Name != next.Name || was.At != next.At || was.Step != next.Step {
			continue
		}
		if next.Detail == "" && next.Outcome == was.Outcome {
			next.Detail, next.Numbers = was.Detail, was.Numbers // a state remembers no numbers
		}
		if next.WaivedBy == "" {
			next.WaivedBy = was.WaivedBy
		}
		r.Gates[i] = next
		return
	}
	r.Gates = append(r.Gates, next)
}
