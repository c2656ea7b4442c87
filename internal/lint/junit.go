package lint

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
)

// JUnit writes the result as test cases: one for each object that has findings and rule that it breaks, one for each rule that nobody
// breaks. Findings below least pass, and say what they are.
func (r Result) JUnit(w io.Writer, least Severity) error {
	suite := junitSuite{Name: "gapless lint"}
	for _, rule := range r.rules {
		suite.Cases = append(suite.Cases, r.cases(rule.ID, rule.ID+" "+rule.Title, least)...)
	}
	if broken := func(f Finding) bool { return f.Rule == IgnoreID }; slices.ContainsFunc(r.Findings, broken) {
		suite.Cases = append(suite.Cases, r.cases(IgnoreID, "what is ignored has a reason", least)...)
	}
	for _, c := range suite.Cases {
		suite.Tests++
		if c.Failure != nil {
			suite.Failures++
		}
		if c.Skipped != nil {
			suite.Skipped++
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (r Result) cases(id, name string, least Severity) []junitCase {
	var objects []string
	by := map[string][]Finding{}
	for _, f := range r.Findings {
		if f.Rule != id {
			continue
		}
		if by[f.Object] == nil {
			objects = append(objects, f.Object)
		}
		by[f.Object] = append(by[f.Object], f)
	}
	if len(objects) == 0 {
		return []junitCase{{Class: "all objects", Name: name}}
	}
	var all []junitCase
	for _, object := range objects {
		c := junitCase{Class: object, Name: name}
		var bad, rest, reasons []string
		for _, f := range by[object] {
			line := fmt.Sprintf("%s:%d: %s: %s\nfix: %s", f.File, f.Line, f.Severity, f.What, f.Fix)
			switch {
			case f.Ignored != "":
				reasons = append(reasons, f.Ignored)
			case f.Severity.AtLeast(least):
				bad = append(bad, line)
			default:
				rest = append(rest, line)
			}
		}
		switch {
		case len(bad) > 0:
			c.Failure = &junitFailure{Message: by[object][0].What, Text: strings.Join(bad, "\n\n")}
		case len(reasons) > 0 && len(rest) == 0:
			c.Skipped = &junitSkipped{Message: "ignored: " + strings.Join(slices.Compact(reasons), "; ")}
		}
		c.Out = strings.Join(rest, "\n\n")
		all = append(all, c)
	}
	return all
}

type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
		Skipped *junitSkipped `xml:"skipped,omitempty"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr"`
	}
)
