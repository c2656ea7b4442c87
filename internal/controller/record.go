package controller

import (
	"fmt"
	"slices"
	"time"

	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// maxEntries bounds each list of a report. The first and the latest entries are kept.
const maxEntries = 200

// Record writes a decision into the report of its revision. Where the decision begins a new revision, it returns the old report,
// closed, and the new one; otherwise only the second.
func Record(r report.Report, seen Seen, d rollout.Decision) (closed *report.Report, now report.Report) {
	at := seen.Snapshot.Now
	if r.Revision != d.State.Revision || r.App == "" {
		if r.App != "" && r.Revision > 0 && !r.Over() {
			end(&r, d.State, seen)
		}
		if r.App != "" && r.Revision > 0 {
			closed = new(r)
		}
		r = begin(seen, d.State)
	}
	r.At = at
	if c := string(d.State.Candidate); c != "" {
		r.To, r.From = c, string(d.State.Stable)
	}
	r.Phase, r.Reason, r.Message = string(d.State.Phase), d.Reason, d.Message
	r.Step, r.Steps = stepOf(seen.Plan, d.State)
	r.Until, r.PausedBy = d.LookAgain, ""
	if d.State.Paused != nil {
		r.PausedBy = d.State.Paused.By
	}
	span(&r, seen, d.State)
	decisions(&r, seen, d)
	converged(&r, seen, d.State)
	gates(&r, seen, d)
	if !r.Over() && r.Revision > 0 && !rollout.Active(d.State.Phase) && d.State.Phase != rollout.Unseen {
		end(&r, d.State, seen)
	}
	return closed, r
}

func begin(seen Seen, s rollout.State) report.Report {
	r := report.Report{
		App: seen.Plan.App, Revision: s.Revision, Strategy: string(seen.Plan.Strategy),
		From: string(s.Stable), To: string(s.Candidate), Started: seen.Snapshot.Now, Outcome: report.Running,
	}
	if r.To == "" {
		r.From, r.To = "", string(s.Stable)
	}
	return r
}

func end(r *report.Report, s rollout.State, seen Seen) {
	r.Ended, r.Until = seen.Snapshot.Now, seen.Snapshot.Now
	switch {
	case string(s.Stable) == r.To:
		r.Outcome = report.Promoted
	case s.Aborted != nil && s.Aborted.Reason == rollout.ReasonSuperseded:
		r.Outcome = report.Superseded
	default:
		r.Outcome = report.Aborted
	}
	r.Until = r.Ended
	if n := len(r.Phases); n > 0 && r.Phases[n-1].End.IsZero() {
		r.Phases[n-1].End = r.Ended
	}
}

func stepOf(plan rollout.Plan, s rollout.State) (step, steps int) {
	if plan.Strategy != rollout.Canary {
		return 0, 0
	}
	if s.Phase == rollout.Shifting {
		step = s.Step + 1
	}
	return step, len(plan.Steps)
}

func span(r *report.Report, seen Seen, s rollout.State) {
	next := report.Span{Name: string(s.Phase), Weight: s.Weight(), Start: seen.Snapshot.Now}
	next.Step, _ = stepOf(seen.Plan, s)
	if next.Step == 0 {
		next.Weight = 0
	}
	if n := len(r.Phases); n > 0 {
		last := &r.Phases[n-1]
		if last.Name == next.Name && last.Step == next.Step {
			last.Weight = next.Weight // a step begins with the weight of the one before
			return
		}
		if last.End.IsZero() {
			last.End = next.Start
		}
	}
	if rollout.Active(s.Phase) {
		r.Phases = bounded(append(r.Phases, next))
	}
}

func decisions(r *report.Report, seen Seen, d rollout.Decision) {
	for _, a := range d.Answers {
		reason := "Refused"
		if a.Obeyed {
			reason = "Obeyed"
		}
		add(r, report.Entry{At: seen.Snapshot.Now, Phase: r.Phase, Reason: reason, Message: fmt.Sprintf("%s: %s", a.Order.Verb, a.Message), By: a.Order.By})
	}
	if n := len(r.Decisions); n > 0 {
		if last := r.Decisions[n-1]; last.Reason == d.Reason && last.Message == d.Message && last.Phase == r.Phase {
			return
		}
	}
	add(r, report.Entry{At: seen.Snapshot.Now, Phase: r.Phase, Reason: d.Reason, Message: d.Message})
}

func add(r *report.Report, e report.Entry) {
	r.Decisions = bounded(append(r.Decisions, e))
}

// bounded leaves one out in the middle where there are too many.
func bounded[T any](all []T) []T {
	if len(all) > maxEntries {
		return slices.Delete(all, maxEntries/2, maxEntries/2+1)
	}
	return all
}

func converged(r *report.Report, seen Seen, s rollout.State) {
	if s.ConvergedAt.IsZero() || s.ConvergedAt.Equal(seen.State.ConvergedAt) {
		return
	}
	after := time.Duration(0)
	if !s.ToldAt.IsZero() {
		after = max(0, s.ConvergedAt.Sub(s.ToldAt))
	}
	r.Converged = append(r.Converged, report.Convergence{
		At: s.ConvergedAt, What: "route: " + s.Route.String(), Grade: string(seen.Snapshot.Grade), After: report.Millis(after),
	})
	r.Converged = bounded(r.Converged)
}
