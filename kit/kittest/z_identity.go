package kittest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

var z21Version = Rule{
	ID: "Z21", Needs: []string{"Z3"},
	Title: "answers name the version that gave them (Gapless-Version)",
	Why:   "without it a loss cannot be blamed on the version that caused it",
	Fix:   "set GAPLESS_VERSION; kit adds the header",
	How:   "the header is read from every answer of the steady load",
	Run: alike(func(s *Session, e *episode) Result {
		versions, answers := make(map[string]int), 0
		for _, r := range e.requests {
			if !r.Class.Lost() {
				versions[r.Version]++
				answers++
			}
		}
		switch {
		case versions[""] > 0:
			return fail(nil, "%d of %d answers had no version", versions[""], answers)
		case len(versions) != 1:
			return fail(nil, "one instance answered as %d versions: %s", len(versions), counts(versions))
		case s.Spec.Version != "" && versions[s.Spec.Version] == 0:
			return fail(nil, "answers say %s, not %s", counts(versions), s.Spec.Version)
		}
		return pass("answers by version: %s", counts(versions))
	}),
}

// counts is "1.0.0 611".
func counts(by map[string]int) string {
	var words []string
	for name, n := range by {
		words = append(words, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

var z22Report = Rule{
	ID: "Z22", Needs: []string{"Z3", "Z1"},
	Title: "a drain report exists",
	Why:   "it says how long a drain is needed here, and what was cut; else both are guessed",
	Fix:   "kit writes it to /dev/termination-log, to GAPLESS_REPORT, or to the log",
	How:   "it is looked for in the report's file, and as JSON in what the service writes",
	Run: alike(func(_ *Session, e *episode) Result {
		report, err := reportOf(e.report, e.lines)
		if err != nil {
			return fail(nil, "%v", err)
		}
		return pass("reason %s, %d phases, cut requests %d", report.Reason, len(report.Phases), report.Cut.Requests)
	}),
}

// drainReport is the part of a drain report that is judged.
type drainReport struct {
	Reason string `json:"reason"`
	Phases []struct {
		Phase string `json:"phase"`
	} `json:"phases"`
	Cut *struct {
		Requests int64 `json:"requests"`
	} `json:"cut"`
}

var errNoReport = errors.New("no drain report: not in the report file, nor as JSON in a log line")

// parseReport finds the report of an instance that has ended.
func parseReport(in Instance) (drainReport, error) { return reportOf(in.Report(), in.Lines()) }

// reportOf finds the report in its file, else in the last log line that holds
// one: as the line itself, or as the text of a field "report".
func reportOf(file []byte, lines []Line) (drainReport, error) {
	if report, ok := asReport(file); ok {
		return report, nil
	}
	for i := len(lines) - 1; i >= 0; i-- {
		if report, ok := reportIn(lines[i].Text); ok {
			return report, nil
		}
	}
	return drainReport{}, errNoReport
}

func reportIn(line string) (drainReport, bool) {
	if report, ok := asReport([]byte(line)); ok {
		return report, true
	}
	if _, quoted, found := strings.Cut(line, "report="); found {
		if text, err := strconv.QuotedPrefix(quoted); err == nil {
			text, _ = strconv.Unquote(text)
			return asReport([]byte(text))
		}
	}
	var fields struct {
		Report string `json:"report"`
	}
	if json.Unmarshal([]byte(line), &fields) == nil {
		return asReport([]byte(fields.Report))
	}
	return drainReport{}, false
}

func asReport(text []byte) (drainReport, bool) {
	var report drainReport
	err := json.Unmarshal(text, &report)
	return report, err == nil && report.Reason != "" && report.Cut != nil
}
