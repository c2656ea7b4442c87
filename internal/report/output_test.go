package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/report"
)

var update = flag.Bool("update", false, "write the golden files anew; read the difference before committing it")

func TestOutputs_AreAsRecorded(t *testing.T) {
	reports := map[string]report.Report{
		"canary":   canary(),
		"recreate": recreated(),
		"aborted":  aborted(),
		"probe":    probed(),
		"idle":     {App: "demo-api", Phase: "Idle", From: "1.0.0"},
		"nothing":  report.OfProbe(report.Traffic{URL: "http://localhost/", Verdict: report.NothingSent, Bound: "no request was sent, so nothing is proved"}),
	}
	for name, r := range reports {
		for _, f := range report.Formats {
			golden(t, name+extension[f], func(w io.Writer) error { return report.Write(w, f, r) })
		}
		golden(t, name+".svg", func(w io.Writer) error { return report.SVG(w, r) })
	}
	golden(t, "several.html", func(w io.Writer) error { return report.HTML(w, recreated(), aborted()) })
}

var extension = map[report.Format]string{
	report.FormatText: ".txt", report.FormatJSON: ".json", report.FormatHTML: ".html", report.FormatJUnit: ".xml",
}

func golden(t *testing.T, file string, write func(io.Writer) error) {
	t.Helper()
	var got bytes.Buffer
	if err := write(&got); err != nil {
		t.Errorf("%s: %v", file, err)
		return
	}
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s has changed; if that is meant, run go test -update (- recorded, + now):\n%s", file, diff)
	}
}

func TestJSON_ReadsBackAsTheSameValue(t *testing.T) {
	want := aborted()
	var b bytes.Buffer
	if err := report.JSON(&b, want); err != nil {
		t.Fatal(err)
	}
	var got report.Report
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	// Empty maps are left out of buckets.
	if diff := cmp.Diff(want, got, cmp.FilterValues(func(a, b map[string]int) bool {
		return len(a) == 0 && len(b) == 0
	}, cmp.Ignore())); diff != "" {
		t.Error(diff)
	}
}

func TestTrafficJSON_HasTheAgreedNames(t *testing.T) {
	var b bytes.Buffer
	if err := report.TrafficJSON(&b, *recreated().Traffic); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Requests, Lost *int
		LongestGapMs   *float64
		Versions       map[string]int
		Losses         map[string]int
		LatencyMs      *struct{ P50, P99, Max *float64 }
		Verdict        *string
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Requests == nil || got.Lost == nil || got.LongestGapMs == nil || got.LatencyMs == nil || got.LatencyMs.Max == nil || got.Verdict == nil {
		t.Fatalf("names are missing: %s", b.String())
	}
	if *got.LongestGapMs != 3400 || got.Losses["refused"] != *got.Lost || *got.LatencyMs.P50 != 0.412 {
		t.Errorf("gap %v, losses %v of %d, p50 %v", *got.LongestGapMs, got.Losses, *got.Lost, *got.LatencyMs.P50)
	}
}

func TestHTML_FetchesAndRunsNothing(t *testing.T) {
	r := aborted()
	r.Message = `<script>alert("x")</script>`
	var b bytes.Buffer
	if err := report.HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(b.String(), `xmlns="http://www.w3.org/2000/svg"`, "")
	for _, bad := range []string{"<script", " src=", "<link", "url(", "@import", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
}

func TestJUnit_IsWellFormed(t *testing.T) {
	var b bytes.Buffer
	if err := report.JUnit(&b, aborted()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Suites []struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Suites) != 1 || got.Suites[0].Tests != 3 || got.Suites[0].Failures != 3 {
		t.Errorf("%+v", got)
	}
}
