package check_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/check"
	"gapless.dev/kit/kittest"
	"gapless.dev/kit/load"
)

var update = flag.Bool("update", false, "write the golden files")

// refused is a judgement of a service that stops at once.
func refused() kittest.Judgement {
	j := kittest.Judgement{
		Start: 1234567 * time.Microsecond, Late: 120 * time.Millisecond,
		Traffic: kittest.Traffic{Stops: 5, Requests: 2450, Lost: 1204, Classes: map[load.Class]int{load.Refused: 1200, load.ResetBefore: 4}},
		Timeline: []kittest.Event{
			{At: -2 * time.Second, Who: kittest.Checker, What: "started"},
			{At: 0, Who: kittest.Checker, What: "SIGTERM"},
			{At: 10 * time.Millisecond, Who: kittest.Client, What: "first request lost: refused: our SYN was answered by RST"},
			{At: 12 * time.Millisecond, Who: kittest.Service, What: `<msg="bye & goodbye">`},
		},
	}
	for _, rule := range kittest.Rules() {
		one := kittest.Result{ID: rule.ID, Title: rule.Title, Must: rule.Must, Status: kittest.Pass, Why: "seen to hold"}
		switch rule.ID {
		case "Z5":
			one.Status, one.Why = kittest.Fail, "244 of 249 requests on new connections were lost while draining (in stop 1 of 5)"
			one.Evidence = []string{"+0.01s: GET HTTP/1.1 on a new connection: refused: our SYN was answered by RST", `  +0.01s  service  <msg="bye & goodbye">`}
		case "Z11":
			one.Status, one.Why = kittest.Skip, "not judged: no stream is named"
		case "Z21":
			one.Status, one.Why = kittest.Fail, "611 of 611 answers had no version"
		}
		j.Results = append(j.Results, one)
	}
	return j
}

func reported(j kittest.Judgement, cancelled bool) check.Report {
	r := check.Of(j, cancelled, 41*time.Second)
	r.Subject, r.Facts = "./server --listen :{port}", []string{"it listens where PORT says"}
	return r
}

func TestReport_Outputs(t *testing.T) {
	for _, format := range check.Formats {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			if err := reported(refused(), false).Write(&out, format); err != nil {
				t.Fatal(err)
			}
			golden(t, "report."+format+".golden", out.Bytes())
		})
	}
	var out bytes.Buffer
	if err := reported(refused(), false).Text(&out, check.Style{Width: 80}); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.80.golden", out.Bytes())
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
			t.Errorf("%d wide: %s", n, line)
		}
	}
}

func TestReport_JSONIsWhatMachinesAreTold(t *testing.T) {
	var out bytes.Buffer
	if err := reported(refused(), false).JSON(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Rules []struct {
			ID, Result, Why, Fix string
			Evidence             []string
		}
		Verdict string
	}
	dec := json.NewDecoder(&out)
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rules) != 22 || got.Verdict != "fail" {
		t.Errorf("%d rules, verdict %q", len(got.Rules), got.Verdict)
	}
	for _, r := range got.Rules {
		if r.ID == "" || r.Why == "" || r.Fix == "" || r.Evidence == nil || r.Result != "pass" && r.Result != "fail" && r.Result != "skip" {
			t.Errorf("%+v", r)
		}
	}
}

func TestReport_JUnitCanBeRead(t *testing.T) {
	var out bytes.Buffer
	if err := reported(refused(), false).JUnit(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Suite struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Skipped  int `xml:"skipped,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(out.Bytes(), &got); err != nil || got.Suite.Tests != 22 || got.Suite.Failures != 1 || got.Suite.Skipped != 1 {
		t.Errorf("%v %+v", err, got)
	}
}

func TestReport_Verdicts(t *testing.T) {
	passing := refused()
	passing.Results = []kittest.Result{
		{ID: "Z3", Must: true, Status: kittest.Pass}, {ID: "Z21", Status: kittest.Fail}, {ID: "Z12", Must: true, Status: kittest.Skip},
	}
	for name, test := range map[string]struct {
		judged    kittest.Judgement
		cancelled bool
		verdict   check.Verdict
		cause     string
	}{
		"a MUST failed":                {refused(), false, check.Fail, "Z5"},
		"a MUST failed, then Ctrl-C":   {refused(), true, check.Fail, "Z5"},
		"what only should hold failed": {passing, false, check.Pass, "Z21"},
		"cancelled":                    {passing, true, check.Incomplete, "Z21"},
		"it did not start":             {check.Unstarted("exited with 1"), false, check.Fail, "Z3"},
	} {
		r := reported(test.judged, test.cancelled)
		if r.Verdict != test.verdict || r.Cause != test.cause {
			t.Errorf("%s: %s, cause %q", name, r.Verdict, r.Cause)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
