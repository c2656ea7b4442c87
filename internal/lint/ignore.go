package lint

import (
	"fmt"
	"slices"
	"strings"

	"gapless.dev/gapless/internal/lint/manifest"
)

// IgnoreAnnotation on an object, or on its pods, holds rules that are broken on purpose: "K6=reason; K4=reason".
const IgnoreAnnotation = "gapless.dev/lint-ignore"

// IgnoreID is the id of findings about ignoring itself.
const IgnoreID = "lint-ignore"

// ignore marks the findings whose object says so, and adds findings for entries that ignore nothing.
func ignore(rules []Rule, w *World, all []Finding) []Finding {
	for _, o := range w.Objects {
		for _, at := range []manifest.Value{
			o.Get("metadata", "annotations", IgnoreAnnotation),
			o.Get("spec", "template", "metadata", "annotations", IgnoreAnnotation),
		} {
			if !at.Exists() {
				continue
			}
			reasons, wrong := ignored(rules, at.String())
			for i := range all {
				if all[i].value.Object() == o && all[i].Ignored == "" {
					all[i].Ignored = reasons[all[i].Rule]
				}
			}
			for _, what := range wrong {
				all = append(all, Finding{
					Rule: IgnoreID, Severity: Warning, Mend: Explain, What: what,
					Why: "A rule that is put aside without a reason is forgotten, and the next reader cannot tell whether it still holds.",
					Fix: "write it as K6=the reason; several with ; between them",
				}.At(at))
			}
		}
	}
	return all
}

func ignored(rules []Rule, text string) (reasons map[string]string, wrong []string) {
	reasons = map[string]string{}
	for _, entry := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '\n' }) {
		id, reason, _ := strings.Cut(strings.TrimSpace(entry), "=")
		id, reason = strings.TrimSpace(id), strings.TrimSpace(reason)
		switch {
		case id == "" && reason == "":
		case !slices.ContainsFunc(rules, func(r Rule) bool { return r.ID == id }):
			wrong = append(wrong, fmt.Sprintf("%q is no rule", id))
		case reason == "":
			wrong = append(wrong, fmt.Sprintf("%s is not ignored: no reason is given", id))
		default:
			reasons[id] = reason
		}
	}
	return reasons, wrong
}
