package check

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"gapless.dev/kit/kittest"
)

// A Style is how text looks on a terminal. The zero value is for a file.
type Style struct {
	Width           int // break lines there; 0: nowhere
	Good, Bad, Soft func(string) string
}

// paint colours line by line: what colours a terminal fills lines of one text up to the longest.
func (s Style) paint(f func(string) string, text string) string {
	if f == nil {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = f(line)
		}
	}
	return strings.Join(lines, "\n")
}

// Text writes the report for people.
func (r Report) Text(w io.Writer, s Style) error {
	var b strings.Builder
	b.WriteString(r.Head(s))
	for _, one := range r.Rules {
		b.WriteString(one.Line(s))
	}
	b.WriteString(r.Foot(s))
	_, err := io.WriteString(w, b.String())
	return err
}

// Head is what stands before the rules.
func (r Report) Head(s Style) string {
	var b strings.Builder
	b.WriteString("check " + r.Subject + "\n")
	for _, fact := range r.Facts {
		b.WriteString(s.paint(s.Soft, wrap("  ", "  ", fact, s.Width)))
	}
	b.WriteString("\n")
	return b.String()
}

// Line is a rule's outcome: a line, and of a failure all that is known.
func (r Rule) Line(s Style) string {
	word := map[kittest.Status]string{
		kittest.Pass: s.paint(s.Good, "pass"), kittest.Fail: s.paint(s.Bad, "FAIL"), kittest.Skip: s.paint(s.Soft, "skip"),
	}[r.Result]
	if r.Result == kittest.Fail && !r.Must {
		word = s.paint(s.Bad, "fail")
	}
	id := fmt.Sprintf("  %-4s", r.ID)
	const lead = "              "
	if r.Result != kittest.Fail {
		text := strings.TrimPrefix(wrap(lead, lead, r.Why, s.Width), lead)
		if r.Result == kittest.Skip {
			text = s.paint(s.Soft, text)
		}
		return id + "  " + word + "  " + text
	}
	var b strings.Builder
	should := ""
	if !r.Must {
		should = " (should)"
	}
	b.WriteString(id + "  " + word + "  " + strings.TrimPrefix(wrap(lead, lead, r.Title+should, s.Width), lead))
	say := func(name, text string) {
		for i, line := range strings.Split(text, "\n") {
			if i == 0 {
				b.WriteString(wrap(lead+s.paint(s.Soft, fmt.Sprintf("%-6s", name)), lead+"      ", line, s.Width))
				continue
			}
			b.WriteString(lead + "      " + line + "\n")
		}
	}
	say("seen", r.Why)
	for _, line := range r.Evidence {
		b.WriteString(lead + "      " + clip(strings.TrimSpace(line), s.Width-len(lead)-6) + "\n")
	}
	say("why", r.Matters)
	say("fix", r.Fix)
	return b.String()
}

// Foot is the verdict, and of a failure what happened around the stop.
func (r Report) Foot(s Style) string {
	var b strings.Builder
	first, failed := r.First()
	if failed && len(r.Timeline) > 0 {
		b.WriteString("\nThe first stop under load, in seconds after SIGTERM:\n")
		for _, e := range r.Timeline {
			b.WriteString(s.paint(s.Soft, clip("  "+e.String(), s.Width)) + "\n")
		}
	}
	b.WriteString("\n")
	headline, paint := r.Headline(), s.Good
	if r.Verdict != Pass {
		paint = s.Bad
	}
	b.WriteString(s.paint(paint, headline) + "\n")
	b.WriteString("  rules  " + r.Sum() + "\n")
	if failed {
		b.WriteString(wrap("  first  ", "         ", first.ID+": "+first.Title, s.Width))
		b.WriteString(wrap("  fix    ", "         ", first.Fix, s.Width))
	}
	if cost := r.Cost(); cost != "" {
		b.WriteString(wrap("  cost   ", "         ", cost, s.Width))
	}
	if r.LateMs >= 100 {
		b.WriteString(wrap("  note   ", "         ", fmt.Sprintf("this machine itself was up to %.0f ms late; moments in time were judged with that allowance", r.LateMs), s.Width))
	}
	return b.String()
}

// wrap breaks a text into lines; the first begins with lead, the others with rest.
func wrap(lead, rest, text string, width int) string {
	var b strings.Builder
	line, empty := lead, true
	for word := range strings.FieldsSeq(text) {
		if width > 0 && !empty && len([]rune(line))+1+len([]rune(word)) > width {
			b.WriteString(line + "\n")
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	return b.String() + line + "\n"
}

func clip(text string, width int) string {
	if r := []rune(text); width > 20 && len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return text
}

// JSON writes the report for machines.
func (r Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
