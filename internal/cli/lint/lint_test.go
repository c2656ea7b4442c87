package lint_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/cli/exit"
	command "gapless.dev/gapless/internal/cli/lint"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/lint"
)

var update = flag.Bool("update", false, "write the generated files")

const (
	good = `apiVersion: v1
kind: Service
metadata: {name: a}
`
	bad = `# mine
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 1
  strategy:
    rollingUpdate: {maxUnavailable: 1, maxSurge: 0} # all at once
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
        - name: app
          ports: [{containerPort: 80}]
          readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
`
	broken = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n   y: [\n"
)

func TestLint_ExitCodesAndMessages(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"good.yaml": good, "bad.yaml": bad, "broken.yaml": broken, "values.yaml": "a: 1\n", "notes.yaml": strings.Replace(bad, "maxUnavailable: 1, maxSurge: 0", "maxSurge: 1", 1), "report.json": `{"rules":[{"id":"Z5","result":"pass"}],"startMs":4000}`,
		"chart/Chart.yaml": "name: x\n", "chart/templates/a.yaml": "a: {{ b }}: c\n", ".hidden/x.yaml": broken, "notes.txt": "x",
	} {
		file(t, filepath.Join(dir, name), text)
	}
	at := func(names ...string) []string {
		for i, n := range names {
			names[i] = strings.ReplaceAll(n, "DIR", dir)
		}
		return names
	}
	for _, test := range []struct {
		name string
		args []string
		in   string
		code int
		says string // in any output
	}{
		{"clean", at("DIR/good.yaml"), "", 0, "nothing found"},
		{"findings", at("DIR/bad.yaml"), "", 1, "bad.yaml:8: error K4"},
		{"below the severity", at("DIR/notes.yaml"), "", 0, "info K2"},
		{"at the severity", at("DIR/notes.yaml", "--severity", "info"), "", 1, "info K2"},
		{"standard input", at("-"), bad, 1, "stdin:8: error K4"},
		{"broken YAML", at("DIR/broken.yaml"), "", 2, "broken.yaml:5: not YAML"},
		{"broken YAML beside others", at("DIR/broken.yaml", "DIR/bad.yaml"), "", 2, "error K4"},
		{"nothing that is Kubernetes", at("DIR/values.yaml"), "", 2, "no Kubernetes object"},
		{"no such file", at("deployment.yml"), "", 2, "deploy/NAME"},
		{"no argument", nil, "", 2, "gapless lint deploy.yaml"},
		{"a folder", at("DIR"), "", 2, "chart/templates holds templates of a Helm chart"},
		{"unknown severity", at("DIR/good.yaml", "--severity", "bad"), "", 2, `"bad" is none`},
		{"unknown key", at("DIR/good.yaml", "--set", "K3.begin=1s"), "", 2, "K3.start"},
		{"no value", at("DIR/good.yaml", "--set", "K3.start"), "", 2, "KEY=VALUE"},
		{"wrong value", at("DIR/good.yaml", "--set", "K3.start=soon"), "", 2, "no time"},
		{"a value that is too small", at("DIR/good.yaml", "--set", "K9.drain=30s"), "", 2, "\"30s\" is too short: a load balancer goes on sending for 1m at least"},
		{"unknown output", at("DIR/good.yaml", "-o", "xml"), "", 2, "junit"},
		{"a report", at("DIR/good.yaml", "--check", "DIR/report.json"), "", 0, "nothing found"},
		{"a report for many", at("DIR/bad.yaml", "DIR/notes.yaml", "--check", "DIR/report.json"), "", 2, "a report is of one service"},
		{"no report", at("DIR/good.yaml", "--check", "DIR/bad.yaml"), "", 2, "no report of gapless check"},
		{"mending what is broken", at("DIR/broken.yaml", "DIR/bad.yaml", "--fix", "--yes"), "", 2, "nothing is mended"},
		{"mending without consent", at("DIR/bad.yaml", "--fix"), "", 1, "add --yes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, errs, code := run(t, test.in, test.args...)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if !strings.Contains(out+errs, test.says) {
				t.Errorf("does not say %q:\n%s%s", test.says, out, errs)
			}
			if now, _ := os.ReadFile(filepath.Join(dir, "bad.yaml")); string(now) != bad {
				t.Error("a file was written")
			}
		})
	}
}

func TestLint_FixWritesWhatItShows(t *testing.T) {
	name := filepath.Join(t.TempDir(), "bad.yaml")
	file(t, name, bad)
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := run(t, "", name, "--fix", "--yes")
	if code != 0 {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
	want := strings.Replace(bad, "{maxUnavailable: 1, maxSurge: 0}", "{maxUnavailable: 0, maxSurge: 1}", 1)
	now, _ := os.ReadFile(name)
	if diff := cmp.Diff(want, string(now)); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(out, "+    rollingUpdate: {maxUnavailable: 0, maxSurge: 1} # all at once") {
		t.Errorf("the diff was not shown:\n%s", out)
	}
	if info, _ := os.Stat(name); info.Mode().Perm() != 0o600 {
		t.Errorf("rights are now %v", info.Mode())
	}
	if rest, _ := filepath.Glob(filepath.Join(filepath.Dir(name), ".*")); len(rest) > 0 {
		t.Errorf("left behind: %v", rest)
	}
	_, errs, code = run(t, "", name, "--fix", "--yes")
	if code != 0 || !strings.Contains(errs, "nothing to mend") {
		t.Errorf("the second time: exit code %d, %s", code, errs)
	}
}

func TestLint_FixIsAFilterForStandardInput(t *testing.T) {
	out, errs, code := run(t, bad, "-", "--fix")
	if want := strings.Replace(bad, "{maxUnavailable: 1, maxSurge: 0}", "{maxUnavailable: 0, maxSurge: 1}", 1); out != want || code != 0 {
		t.Errorf("exit code %d, %s", code, cmp.Diff(want, out))
	}
	if !strings.Contains(errs, "+    rollingUpdate") || !strings.Contains(errs, "1 workload") {
		t.Error(errs)
	}
}

func TestLint_FixKeepsTheFindingsOfWhatItDoesNotWrite(t *testing.T) {
	name := filepath.Join(t.TempDir(), "bad.yaml")
	file(t, name, bad)
	other := strings.NewReplacer("name: api", "name: other", "app: api", "app: other").Replace(bad)
	out, errs, code := run(t, other, "-", name, "--fix", "--yes")
	if code != 1 || !strings.Contains(out, "stdin:8: error K4") || strings.Contains(out, "bad.yaml:8: error") {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
}

func TestLint_OutputsForMachines(t *testing.T) {
	ignored := strings.Replace(bad, "metadata: {name: api}", `metadata: {name: api, annotations: {gapless.dev/lint-ignore: "K4=a <single> writer"}}`, 1)
	name := filepath.Join(t.TempDir(), "bad.yaml")
	file(t, name, bad+"---\n"+strings.NewReplacer("name: api", "name: other", "app: api", "app: other").Replace(ignored))

	out, _, code := run(t, "", name, "-o", "json")
	var result lint.Result
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != 1 {
		t.Fatal(err, code)
	}
	first := result.Findings[0]
	if first.Rule != "K4" || first.Line != 8 || first.Object != "Deployment/api" || first.Field != "spec.strategy.rollingUpdate.maxUnavailable" || first.Mend != lint.Auto || first.Why == "" || first.Fix == "" {
		t.Errorf("%+v", first)
	}

	out, _, _ = run(t, "", name, "-o", "sarif")
	var sarif struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Locations []struct {
					PhysicalLocation struct{ Region struct{ StartLine int } }
				}
				Suppressions []struct{ Kind, Justification string }
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &sarif); err != nil {
		t.Fatal(err)
	}
	one := sarif.Runs[0].Results[0]
	if sarif.Version != "2.1.0" || one.Level != "error" || one.Locations[0].PhysicalLocation.Region.StartLine != 8 || sarif.Runs[0].Tool.Driver.Rules[one.RuleIndex].ID != "K4" {
		t.Errorf("%+v", one)
	}
	suppressed := 0
	for _, r := range sarif.Runs[0].Results {
		for _, s := range r.Suppressions {
			suppressed++
			if s.Kind != "inSource" || s.Justification != "a <single> writer" {
				t.Errorf("%+v", s)
			}
		}
	}
	if suppressed != 1 {
		t.Errorf("%d suppressed", suppressed)
	}

	out, _, _ = run(t, "", name, "-o", "junit")
	var junit struct {
		Suite struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Skipped  int `xml:"skipped,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(out), &junit); err != nil || junit.Suite.Failures != 1 || junit.Suite.Skipped != 1 || junit.Suite.Tests < 12 {
		t.Errorf("%v %+v", err, junit)
	}
}

func run(t *testing.T, in string, args ...string) (out, errs string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	sh := &shell.Shell{In: strings.NewReader(in), Out: &stdout, Err: &stderr, Getenv: func(string) string { return "" }}
	cmd := command.New(sh)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err := cmd.Execute()
	if err != nil {
		stderr.WriteString(err.Error())
	}
	return stdout.String(), stderr.String(), exit.Code(err)
}

func file(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
