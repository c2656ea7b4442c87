package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// JUnit writes the report as a test suite for a CI system: one case that nothing was lost,
// and for a revision one that it was promoted. A revision that was superseded, or is not
// over, counts as skipped.
func JUnit(w io.Writer, r Report) error {
	suite := junitSuite{Name: r.Title(), Time: seconds(r.Took())}
	if !r.Started.IsZero() {
		suite.Timestamp = r.Started.UTC().Format(time.RFC3339)
	}
	if r.App != "" {
		suite.add(r.promoted())
	}
	if r.Traffic != nil {
		suite.add(r.nothingLost())
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuites{Suites: []junitSuite{suite}}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (r Report) promoted() junitCase {
	c := junitCase{Class: "gapless." + r.App, Name: "the candidate is promoted", Time: seconds(r.Took())}
	switch r.Outcome {
	case Promoted:
	case Aborted:
		c.Failure = &junitFailure{Message: r.Message, Type: r.Reason, Text: strings.Join(r.Logs, "\n")}
	default:
		c.Skipped = &junitSkipped{Message: r.Standing()}
	}
	return c
}

func (r Report) nothingLost() junitCase {
	t := r.Traffic
	name := r.App
	if name == "" {
		name = "probe"
	}
	c := junitCase{Class: "gapless." + name, Name: "no request is lost", Time: seconds(t.Elapsed.Duration())}
	var out strings.Builder
	if err := Text(&out, OfProbe(*t)); err == nil {
		c.Out = out.String()
	}
	switch t.Verdict {
	case NoneLost:
	case SomeLost:
		c.Failure = &junitFailure{Message: t.Headline(), Type: string(t.Verdict), Text: counts(t.Losses)}
	default:
		c.Skipped = &junitSkipped{Message: t.Bound}
	}
	return c
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr,omitempty"`
	Cases     []junitCase `xml:"testcase"`
}

func (s *junitSuite) add(c junitCase) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
	if c.Skipped != nil {
		s.Skipped++
	}
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
	Skipped *junitSkipped `xml:"skipped"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}
