package lint

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"gapless.dev/gapless/internal/lint/manifest"
)

// A Result is everything that one run has to say.
type Result struct {
	Findings []Finding `json:"findings"`
	// NotSeen is what would have to be known for a full judgement and is not in the files.
	NotSeen []string `json:"notSeen,omitempty"`
	// Objects is how many objects were read, Workloads how many of them keep pods.
	Objects   int `json:"objects"`
	Workloads int `json:"workloads"`
	// Problems are the places that could not be read. What they hold was not judged.
	Problems []manifest.Problem `json:"problems,omitempty"`

	rules []Rule
}

// Judge runs the rules over a world.
func Judge(rules []Rule, w *World) Result {
	r := Result{Findings: Run(rules, w), Objects: len(w.Objects), Workloads: len(w.Workloads), rules: rules}
	for _, rule := range rules {
		if rule.Unseen == nil {
			continue
		}
		if what := rule.Unseen(w); what != "" {
			r.NotSeen = append(r.NotSeen, rule.ID+": "+what)
		}
	}
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
	return r
}

// Bad reports whether a finding that counts is as bad as the given severity.
func (r Result) Bad(least Severity) bool {
	worst, any := Worst(r.Findings)
	return any && worst.AtLeast(least)
}

// JSON writes the result for machines.
func (r Result) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Text writes the result for people, in lines of a width (0: of any). A reason is given at the first finding that has it.
func (r Result) Text(w io.Writer, width int) error {
	var b strings.Builder
	said := map[string]bool{}
	for _, f := range r.Findings {
		head := fmt.Sprintf("%s: %s %s  %s", f.Place(), f.Severity, f.Rule, f.Object)
		if f.Field != "" {
			head += "  " + f.Field
		}
		if f.Ignored != "" {
			fmt.Fprintf(&b, "%s\n%s\n", head, wrap("    ", "ignored: "+f.Ignored, width))
			continue
		}
		b.WriteString(head + "\n" + wrap("    ", f.What, width))
		if !said[f.Why] {
			b.WriteString(wrap("    ", "why: "+f.Why, width))
			said[f.Why] = true
		}
		b.WriteString(wrap("    ", "fix: "+fixOf(f), width) + "\n")
	}
	for _, what := range r.NotSeen {
		b.WriteString(wrap("", "not seen: "+what, width))
	}
	b.WriteString(r.Summary() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// wrap breaks a text into lines that begin with lead, the later ones a little further to the right.
func wrap(lead, text string, width int) string {
	var b strings.Builder
	line := lead
	for word := range strings.FieldsSeq(text) {
		if width > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width && strings.TrimSpace(line) != "" {
			b.WriteString(line + "\n")
			line = lead + "     "
		}
		if strings.TrimSpace(line) != "" {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}

func fixOf(f Finding) string {
	switch {
	case f.Mend == Auto:
		return f.Fix + "  [--fix]"
	case f.Mend == Ask:
		return f.Fix + "  [--fix --set " + f.Ask.Key + "=...]"
	}
	return f.Fix
}

// Summary is the result in a line.
func (r Result) Summary() string {
	count := map[Severity]int{}
	mend := map[Mend]int{}
	ignored := 0
	for _, f := range r.Findings {
		if f.Ignored != "" {
			ignored++
			continue
		}
		count[f.Severity]++
		mend[f.Mend]++
	}
	var parts []string
	for _, s := range Severities {
		if n := count[s]; n > 0 {
			if s == Info {
				parts = append(parts, fmt.Sprintf("%d info", n))
				continue
			}
			parts = append(parts, plural(n, string(s)))
		}
	}
	line := plural(r.Workloads, "workload") + " in " + plural(r.Objects, "object") + ": "
	if len(parts) == 0 {
		line += "nothing found"
	}
	line += strings.Join(parts, ", ")
	if ignored > 0 {
		line += fmt.Sprintf(", %d ignored", ignored)
	}
	if mend[Auto] > 0 {
		line += fmt.Sprintf("; --fix mends %d", mend[Auto])
	}
	if mend[Ask] > 0 {
		line += fmt.Sprintf("; %d need a value (--set)", mend[Ask])
	}
	return line
}

func plural(n int, name string) string {
	if n == 1 {
		return "1 " + name
	}
	return fmt.Sprintf("%d %ss", n, name)
}
