package adopt

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/lint"
)

// widest is as far as a line is read with ease.
const widest = 110

// show prints a proposal for a person.
func show(sh *shell.Shell, p Proposal) {
	c, width := sh.Paint(), widest
	if w := sh.Terminal(); w > 0 {
		width = min(width, w)
	}
	say := func(lead, text string) {
		sh.Printf("%s\n", lead+strings.TrimLeft(paint.Wrap(strings.Fields(text), " ", strings.Repeat(" ", len(lead)), width), " "))
	}
	sh.Printf("%s\n", manifestOf(p.Rollout))
	services := "no Service"
	if len(p.Preview.Services) > 0 {
		services = "Service " + strings.Join(slices.Sorted(slices.Values(p.Preview.Services)), ", ")
	}
	sh.Printf("%s\n", c.Bold("A rollout by "+string(p.Preview.Plan.Strategy)+", of "+p.Preview.On.Instances(p.Preview.Replicas)+", through "+services))
	for i, s := range p.Preview.Steps {
		say(fmt.Sprintf("  %d. ", i+1), s.Text)
	}
	sh.Printf("\n%s\n", c.Bold("To be known before"))
	for _, note := range p.Preview.Notes {
		say("  - ", note)
	}
	if len(p.Advice.Unread) > 0 {
		say("  - ", strings.Join(p.Advice.Unread, " and ")+" may not be read by you, and so were not judged.")
	}
	if len(p.Advice.Findings) > 0 {
		sh.Printf("\n%s\n", c.Bold("What gapless lint finds in it"))
	}
	for _, f := range p.Advice.Findings {
		colour := c.Candidate
		if f.Severity == lint.Error {
			colour = c.Bad
		}
		sh.Printf("  %s %s %s\n", colour(string(f.Severity)), f.Rule, c.Dim(strings.TrimSpace(f.Object+" "+f.Field)))
		say("    ", f.What)
		say("    ", "fix: "+f.Fix)
	}
	if p.Advice.Diff != "" {
		sh.Printf("\n%s\n", c.Bold("What would mend it, as far as that needs no guess. Gapless applies none of it"))
		for line := range strings.Lines(p.Advice.Diff) {
			text := strings.TrimSuffix(line, "\n")
			switch {
			case strings.HasPrefix(text, "+"):
				text = c.Good(text)
			case strings.HasPrefix(text, "-"):
				text = c.Bad(text)
			}
			sh.Printf("  %s\n", text)
		}
	}
	sh.Printf("\n")
}

func manifestOf(r *v1alpha1.Rollout) string {
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "Rollout",
		"metadata": metav1.ObjectMeta{Name: r.Name, Namespace: r.Namespace}, "spec": r.Spec,
	})
	if err != nil {
		return err.Error() // what was made of values can be written
	}
	return strings.ReplaceAll(string(text), "  creationTimestamp: null\n", "")
}
