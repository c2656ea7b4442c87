package lint

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"gapless.dev/gapless/internal/junit"
)

// JUnit writes the result as test cases: one for each object that has findings and rule that it breaks, one for each rule that nobody
// breaks. Findings below least pass, and say what they are.
func (r Result) JUnit(w io.Writer, least Severity) error {
	suite := junit.Suite{Name: "gapless lint"}
	add := func(cases []junit.Case) {
		for _, c := range cases {
			suite.Add(c)
		}
	}
	for _, rule := range r.rules {
		add(r.cases(rule.ID, rule.ID+" "+rule.Title, least))
	}
	if broken := func(f Finding) bool { return f.Rule == IgnoreID }; slices.ContainsFunc(r.Findings, broken) {
		add(r.cases(IgnoreID, "what is ignored has a reason", least))
	}
	return junit.Write(w, suite)
}

func (r Result) cases(id, name string, least Severity) []junit.Case {
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
		return []junit.Case{{Class: "all objects", Name: name}}
	}
	var all []junit.Case
	for _, object := range objects {
		c := junit.Case{Class: object, Name: name}
		var bad, rest, reasons []string
		for _, f := range by[object] {
			line := fmt.Sprintf("%s: %s: %s\nfix: %s", f.Place(), f.Severity, f.What, f.Fix)
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
			c.Failure = &junit.Failure{Message: by[object][0].What, Text: strings.Join(bad, "\n\n")}
		case len(reasons) > 0 && len(rest) == 0:
			c.Skipped = &junit.Skipped{Message: "ignored: " + strings.Join(slices.Compact(reasons), "; ")}
		}
		c.Out = strings.Join(rest, "\n\n")
		all = append(all, c)
	}
	return all
}
