package rules_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
	"gapless.dev/gapless/internal/lint/rules"
)

var update = flag.Bool("update", false, "write the golden files")

// Each rule's folder holds a bad.yaml with its findings, and a good.yaml without any. Other files *.yaml are cases of their own. A first
// line "# set: KEY=VALUE ..." gives answers, a file NAME.check.json what a live test has seen. What can be mended is mended,
// and twice is the same as once.
func TestRules_FindWhatTheirExamplesSay(t *testing.T) {
	for _, rule := range rules.All {
		files, _ := filepath.Glob(filepath.Join(folder(rule), "*.yaml"))
		if len(files) < 2 {
			t.Errorf("%s has no bad.yaml and good.yaml", rule.ID)
		}
		for _, name := range files {
			t.Run(name, func(t *testing.T) {
				judgeExample(t, []lint.Rule{rule}, name)
			})
		}
	}
}

// testdata holds manifests as people write them, judged by all rules.
func TestRules_Together(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, name := range files {
		t.Run(name, func(t *testing.T) { judgeExample(t, rules.All, name) })
	}
}

func judgeExample(t *testing.T, list []lint.Rule, name string) {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	answers := header(t, list, string(data))
	f := parse(t, filepath.Base(name), data)
	checked := report(t, strings.TrimSuffix(name, ".yaml")+".check.json")
	result := lint.Judge(list, lint.NewWorld([]*manifest.File{f}, answers, checked))
	base := strings.TrimSuffix(name, ".yaml")
	if strings.HasPrefix(filepath.Base(name), "good") {
		for _, one := range result.Findings {
			t.Errorf("%s:%d %s: %s", name, one.Line, one.Rule, one.What)
		}
		return
	}
	if len(result.Findings) == 0 {
		t.Fatal("nothing found")
	}
	var out bytes.Buffer
	if err := result.Text(&out, 120); err != nil {
		t.Fatal(err)
	}
	golden(t, goldenName(base, "findings"), out.Bytes())

	fixed, refused := lint.Fix(list, []*manifest.File{f}, answers, checked)
	if len(refused) > 0 && !strings.Contains(name, "byhand") {
		t.Errorf("refused: %v", refused)
	}
	if !fixed[0].Changed() {
		return
	}
	golden(t, goldenName(base, "fixed"), fixed[0].After)
	again, _ := lint.Fix(list, []*manifest.File{parse(t, f.Name, fixed[0].After)}, answers, checked)
	if diff := cmp.Diff(string(again[0].Before), string(again[0].After)); diff != "" {
		t.Errorf("mended twice is not the same as once:\n%s", diff)
	}
	left := lint.Run(list, lint.NewWorld([]*manifest.File{parse(t, f.Name, fixed[0].After)}, answers, checked))
	for _, one := range left {
		if one.Mend == lint.Auto && one.Ignored == "" && !strings.Contains(name, "byhand") {
			t.Errorf("not mended: %s:%d %s: %s", one.File, one.Line, one.Rule, one.What)
		}
	}
	for _, rule := range list {
		if filepath.Base(name) == "bad.yaml" && rule.Fix == lint.Auto && len(left) > 0 {
			t.Errorf("%s says that it mends its bad.yaml, and %d findings are left", rule.ID, len(left))
		}
	}
}

func TestRules_SayWhatTheyAre(t *testing.T) {
	for i, rule := range rules.All {
		if rule.ID != "K"+strconv.Itoa(i+1) {
			t.Errorf("rule %d is %s", i, rule.ID)
		}
		if rule.Title == "" || rule.Why == "" || rule.Source == "" || rule.Fix == "" || rule.Check == nil {
			t.Errorf("%s: something is missing", rule.ID)
		}
		if (rule.Fix == lint.Ask) && len(rule.Asks) == 0 {
			t.Errorf("%s asks for nothing", rule.ID)
		}
		if rule.Fix == lint.Auto {
			if _, err := os.Stat(filepath.Join(folder(rule), "fixed.golden")); err != nil {
				t.Errorf("%s mends by itself and has no fixed.golden", rule.ID)
			}
		}
	}
}

// report reads what a live test has seen, if there was one.
func report(t *testing.T, name string) *lint.CheckReport {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	checked, err := lint.ParseCheckReport(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return checked
}

// header reads the answers in the first lines of an example.
func header(t *testing.T, list []lint.Rule, text string) lint.Answers {
	answers := lint.Answers{}
	for line := range strings.Lines(text) {
		sets, ok := strings.CutPrefix(line, "# set: ")
		if !ok {
			return answers
		}
		for set := range strings.FieldsSeq(sets) {
			key, value, err := lint.ParseAnswer(list, set)
			if err != nil {
				t.Fatal(err)
			}
			answers[key] = value
		}
	}
	return answers
}

func parse(t *testing.T, name string, data []byte) *manifest.File {
	t.Helper()
	f, problems := manifest.Parse(name, data)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return f
}

func folder(rule lint.Rule) string {
	id := strings.TrimPrefix(rule.ID, "K")
	return "k" + strings.Repeat("0", 2-len(id)) + id
}

func goldenName(base, what string) string {
	if filepath.Base(base) == "bad" {
		return filepath.Join(filepath.Dir(base), what+".golden")
	}
	return base + "." + what + ".golden"
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
