package check_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/kit/kittest"
	"gapless.dev/kit/kittest/faulty"
)

var update = flag.Bool("update", false, "write the reference page anew")

const page = "../../../docs/reference/check.md"

func TestReference_IsWrittenFromTheRules(t *testing.T) {
	got := reference()
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("run make generate (-page +rules):\n%s", diff)
	}
}

const intro = `# The Z rules

<!-- Written from the rules by make generate. -->

` + "`gapless check`" + ` judges a running service by these rules; ` + "`kittest.Conform`" + ` does the same in a Go test. What a manifest says is judged by
the [K rules](lint.md). The guide is [homework](../guide/homework.md).

G is the grace period, P a preStop sleep, D the drain delay (in process what P has left of it, but 2 s at least), C what is kept for closing,
M a margin of 2 s; I = G - P - D - C - M is what remains for requests in flight.

- The rules are judged in the order of the table. **The first MUST that failed is the first cause**: mend it first, what fails after it may be its
  consequence. What cannot be judged because of Z3 or Z1 says so: ` + "`blocked by Z1`" + `.
- A rule that was not judged is a **skip** with its reason, and is never taken for a pass.
- A *should* that fails costs no request, and does not change the verdict. It is the first cause only where no MUST failed.
- A moment in time is judged with an allowance of 300 ms, and of what this machine itself was late; a stop on a machine that was much too late
  is tried again.

| rule | | what holds |
|---|---|---|
`

const logs = `
## What the service can say

Some rules need to know more than what is seen from outside. Without it they are skipped.

| rule | what it needs |
|---|---|
| Z2 | with --deps-down: a variable with which what it depends on does not answer |
| Z9, Z13 | a path that takes long (--slow), or a POST that reads its body to the end |
| Z11 | --events, --socket: the paths of streams; a gRPC health watch is found |
| Z12 | gRPC with grpc.health.v1.Health, on the service's port or another: found |
| Z16 | --slow-start: a variable that makes its start take 5 s or more |
| Z17 | log lines with work=begin id=7, and work=end id=7 or work=back id=7; fields of JSON lines as well |
| Z18 | --depends: a path that takes long and then uses a dependency |
| Z19 | --count: a path that answers with the number of POST that were carried out |

In a Go test they are fields of kittest.Spec, and Spec.Judges takes a judgement of your own for any rule.

## JSON

` + "```json" + `
{
  "rules": [{"id": "Z5", "result": "fail", "why": "...", "evidence": ["..."], "fix": "...", "title": "...", "must": true, "matters": "..."}],
  "verdict": "fail",
  "cause": "Z5"
}
` + "```" + `

` + "`result`" + ` is pass, fail or skip; ` + "`why`" + ` the finding, or the reason of a skip; ` + "`verdict`" + ` pass, fail or incomplete (cancelled). Beside these: subject, facts,
startMs (what ` + "`gapless lint --check`" + ` takes for K3), traffic (what the stops cost), timeline, lateMs, tookMs.

## Services that break the rules

[examples/broken](../../examples/broken) is a service for each rule that breaks it; for each of them the tests want that rule as the first cause.

| -fault | first cause | what it does wrong |
|---|---|---|
`

func reference() string {
	var b strings.Builder
	b.WriteString(intro)
	for _, rule := range kittest.Rules() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", rule.ID, strings.ToLower(rule.ID), must(rule), rule.Title)
	}
	for _, rule := range kittest.Rules() {
		fmt.Fprintf(&b, "\n## %s\n\n**%s.** (%s)\n\n", rule.ID, upper(rule.Title), must(rule))
		fmt.Fprintf(&b, "- Why: %s.\n- How it is tried: %s.\n- Fix: %s.\n", rule.Why, rule.How, rule.Fix)
		if len(rule.Needs) > 0 {
			fmt.Fprintf(&b, "- Judged only if %s passed.\n", strings.Join(rule.Needs, " and "))
		}
	}
	b.WriteString(logs)
	for _, f := range faulty.Faults() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", f.Name, f.Rule, f.What)
	}
	return b.String()
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func must(rule kittest.Rule) string {
	if rule.Must {
		return "must"
	}
	return "should"
}
