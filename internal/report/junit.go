package report

import (
	"io"
	"strings"
	"time"

	"gapless.dev/gapless/internal/junit"
)

// JUnit writes the report as a test suite for a CI system: one case that nothing was lost,
// and for a revision one that it was promoted, and one for each answer of a gate. A revision that was superseded, or is not
// over, counts as skipped.
func JUnit(w io.Writer, r Report) error {
	suite := junit.Suite{Name: r.Title(), Time: junit.Seconds(r.Took())}
	if !r.Started.IsZero() {
		suite.Timestamp = r.Started.UTC().Format(time.RFC3339)
	}
	if r.App != "" {
		suite.Add(r.promoted())
	}
	for _, g := range r.Gates {
		suite.Add(r.passed(g))
	}
	if r.Traffic != nil {
		suite.Add(r.nothingLost())
	}
	return junit.Write(w, suite)
}

func (r Report) promoted() junit.Case {
	c := junit.Case{Class: "gapless." + r.App, Name: "the candidate is promoted", Time: junit.Seconds(r.Took())}
	switch r.Outcome {
	case Promoted:
	case Aborted:
		c.Failure = &junit.Failure{Message: r.Message, Type: r.Reason, Text: strings.Join(r.Logs, "\n")}
	default:
		c.Skipped = &junit.Skipped{Message: r.Standing()}
	}
	return c
}

// passed is a gate. One that only reports, or that was not decided, counts as skipped.
func (r Report) passed(g Gate) junit.Case {
	c := junit.Case{Class: "gapless." + r.App, Name: "gate " + g.Name + " passes, asked " + g.When(), Time: junit.Seconds(max(0, g.Answered.Sub(g.Asked))), Out: g.Words()}
	switch {
	case g.Outcome == "pass":
	case g.Outcome == "fail" && !g.DryRun:
		c.Failure = &junit.Failure{Message: g.Words(), Type: "GateFailed"}
	default:
		c.Skipped = &junit.Skipped{Message: g.Outcome + ": " + g.Words()}
	}
	return c
}

func (r Report) nothingLost() junit.Case {
	t := r.Traffic
	name := r.App
	if name == "" {
		name = "probe"
	}
	c := junit.Case{Class: "gapless." + name, Name: "no request is lost", Time: junit.Seconds(t.Elapsed.Duration())}
	var out strings.Builder
	if err := Text(&out, OfProbe(*t)); err == nil {
		c.Out = out.String()
	}
	switch t.Verdict {
	case NoneLost:
	case SomeLost:
		c.Failure = &junit.Failure{Message: t.Headline(), Type: string(t.Verdict), Text: counts(t.Losses)}
	default:
		c.Skipped = &junit.Skipped{Message: t.Bound}
	}
	return c
}
