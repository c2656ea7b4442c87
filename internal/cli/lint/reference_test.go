package lint_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/rules"
)

const page = "../../../docs/reference/lint.md"

func TestReference_IsWrittenFromTheRules(t *testing.T) {
	got := reference()
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("run make generate (-page +rules):\n%s", diff)
	}
}

func reference() string {
	var b strings.Builder
	b.WriteString("# The K rules\n\n<!-- Written from the rules by `make generate`. -->\n\n" +
		"`gapless lint` judges manifests by these rules. What a manifest cannot show, `gapless check` finds by trying.\n\n" +
		"| rule | what holds | mended |\n|---|---|---|\n")
	for _, rule := range rules.All {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", rule.ID, strings.ToLower(rule.ID), rule.Title, rule.Fix)
	}
	b.WriteString(`
How a rule's findings are mended by ` + "`--fix`" + `:

- **auto**: the right value follows from what is written. It is written in place; comments, order and blanks stay. Twice is the same as once.
- **ask**: the value is yours to give, by ` + "`--set KEY=VALUE`" + `, by ` + "`--check report.json`" + ` or at the terminal. It is never guessed. ` + "`--set Deployment/api:K3.start=40s`" + ` gives it for one object.
- **explain**: a person has to decide.

A single finding can say less than its rule, when what is written leaves a choice, or is shared by an anchor and its aliases.

| severity | meaning |
|---|---|
| error | a replacement loses requests, or cannot go through |
| warning | requests are lost when something else happens too, such as a node that is drained |
| info | it cannot be seen in a manifest, or costs little; below the default of ` + "`--severity`" + ` |

A rule that is broken on purpose is put aside on the object or on its pods, with the reason; the finding is still shown, as ignored:

` + "```yaml\nmetadata:\n  annotations:\n    " + lint.IgnoreAnnotation + ": \"K6=there is one node; K5=batch, nobody waits\"\n```\n")
	for _, rule := range rules.All {
		fmt.Fprintf(&b, "\n## %s\n\n**%s** (%s)\n\n%s\n", rule.ID, strings.ToUpper(rule.Title[:1])+rule.Title[1:], rule.Fix, rule.Why)
		for i, ask := range rule.Asks {
			if i == 0 {
				b.WriteString("\n")
			}
			fmt.Fprintf(&b, "- `--set %s=`: %s\n", ask.Key, ask.Text)
		}
		if rule.Limits != "" {
			fmt.Fprintf(&b, "\nNot seen: %s\n", rule.Limits)
		}
		fmt.Fprintf(&b, "\nSource: <%s>\n", rule.Source)
	}
	return b.String()
}
