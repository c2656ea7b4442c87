package check

import (
	"io"
	"strings"
	"time"

	"gapless.dev/gapless/internal/junit"
	"gapless.dev/kit/kittest"
)

// JUnit writes a case for each rule. What only should hold never fails one.
func (r Report) JUnit(w io.Writer) error {
	suite := junit.Suite{Name: "gapless check " + r.Subject, Time: junit.Seconds(time.Duration(r.TookMs * float64(time.Millisecond)))}
	for _, one := range r.Rules {
		c := junit.Case{Class: "gapless.check", Name: one.ID + " " + one.Title}
		evidence := strings.Join(append([]string{one.Why}, one.Evidence...), "\n")
		switch {
		case one.Result == kittest.Skip:
			c.Skipped = &junit.Skipped{Message: one.Why}
		case one.Result == kittest.Fail && one.Must:
			c.Failure = &junit.Failure{Message: one.Why, Type: one.ID, Text: evidence + "\nfix: " + one.Fix}
		case one.Result == kittest.Fail:
			c.Out = "should: " + evidence + "\nfix: " + one.Fix
		default:
			c.Out = evidence
		}
		suite.Add(c)
	}
	return junit.Write(w, suite)
}
