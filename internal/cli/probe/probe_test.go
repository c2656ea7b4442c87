package probe_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/probe"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/kit/load"
	"gapless.dev/kit/load/loadtest"
)

// The flag is every test's of the commands: make generate sets it for all of them.
var _ = flag.Bool("update", false, "ignored here")

func run(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := probe.New(&shell.Shell{In: &bytes.Buffer{}, Out: &out, Err: &errs, Getenv: func(string) string { return "" }})
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	if errs.Len() > 0 {
		t.Errorf("written to stderr, which is no terminal: %q", errs.String())
	}
	return out.String(), err
}

func TestProbe_ExitsWith0WhenNothingWasLost(t *testing.T) {
	srv := loadtest.Start(false, func(int) loadtest.Fault { return loadtest.None })
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "report.html")
	out, err := run(t, srv.URL, "--rate", "100", "--for", "500ms", "--timeout", "1m", "--expect", loadtest.Body, "-o", "json", "--report", file)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Requests, Lost int
		LongestGapMs   float64
		Versions       map[string]int
		Verdict        string
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if got.Requests != 50 || got.Lost != 0 || got.LongestGapMs != 0 || got.Versions[loadtest.Version] != 50 || got.Verdict != "none-lost" {
		t.Errorf("%+v", got)
	}
	if page, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(page, []byte("<!doctype html>")) {
		t.Errorf("report file: %v, %.40q", err, page)
	}
}

// The body names the version where no header does; an answer in which neither names one has none, and is no loss.
func TestProbe_ReadsTheVersionFromTheBody(t *testing.T) {
	answers := []struct{ header, body, version string }{
		{"", `{"name":"api","version":"1.4.0"}`, "1.4.0"},
		{"2.0.0", `{"name":"api","version":"0.0.0"}`, "2.0.0"},
		{"", `{"name":"api"}`, ""},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(load.IDHeader)
		seq, _ := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
		a := answers[seq%len(answers)]
		if a.header != "" {
			w.Header().Set(load.VersionHeader, a.header)
		}
		io.WriteString(w, a.body)
	}))
	defer srv.Close()
	for name, test := range map[string]struct {
		args []string
		want map[string]int
	}{
		"with a pattern": {[]string{"--version-pattern", `"version":"([^"]+)"`}, map[string]int{"1.4.0": 10, "2.0.0": 10, "": 10}},
		"by the header":  {nil, map[string]int{"2.0.0": 10, "": 20}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, append(test.args, srv.URL, "--rate", "100", "--for", "300ms", "--timeout", "1m", "-o", "json")...)
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ Versions map[string]int }
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			if !maps.Equal(got.Versions, test.want) {
				t.Errorf("versions %v, want %v", got.Versions, test.want)
			}
		})
	}
}

func TestProbe_ExitsWith1WhenSomethingWasLost(t *testing.T) {
	srv := loadtest.Start(true, func(seq int) loadtest.Fault {
		if seq == 7 {
			return loadtest.Error500
		}
		return loadtest.None
	})
	defer srv.Close()
	out, err := run(t, srv.URL, "--rate", "50", "--for", "400ms", "--timeout", "1m", "-k", "--h2", "50")
	if exit.Code(err) != exit.Failed || !strings.Contains(out, "status-5xx 1") {
		t.Errorf("exit code %d (%v), output:\n%s", exit.Code(err), err, out)
	}
}

func TestProbe_SaysWhatIsWrongAndExitsWith2(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no URL":          {nil, "probe takes one URL"},
		"no scheme":       {[]string{"localhost:8080"}, `URL is "localhost:8080": give http://`},
		"rate":            {[]string{"http://x", "--rate", "0"}, "--rate is 0: give requests per second"},
		"share":           {[]string{"http://x", "--new", "150"}, "--new is 150: give a percentage"},
		"negative time":   {[]string{"http://x", "--for", "-1s"}, "--for is -1s"},
		"timeout":         {[]string{"http://x", "--timeout", "0s"}, "--timeout is 0s"},
		"header":          {[]string{"http://x", "-H", "nonsense"}, `--header is "nonsense": give 'Name: value'`},
		"expect":          {[]string{"http://x", "--expect", "("}, `--expect is "("`},
		"version pattern": {[]string{"http://x", "--version-pattern", "v1"}, "put ( ) around the version"},
		"output":          {[]string{"http://x", "-o", "yaml"}, `output "yaml" is not known`},
		"report":          {[]string{"http://x", "--report", "a.pdf"}, "does not say its format"},
		"report folder":   {[]string{"http://x", "--report", "/nowhere/a.html"}, "--report: open /nowhere/a.html"},
		"a flag of pods":  {[]string{"http://x", "--image", "a"}, "--image: it is for deploy/NAME"},
		"a flag of URLs":  {[]string{"deploy/x", "--connect-to", "a:1"}, "--connect-to: it is for a URL"},
		"unknown flag":    {[]string{"http://x", "--fast"}, "unknown flag: --fast"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, test.args...)
			if exit.Code(err) != exit.Usage || !strings.Contains(err.Error(), test.want) || out != "" {
				t.Errorf("exit code %d, error %v, output %q", exit.Code(err), err, out)
			}
		})
	}
}

func TestProbe_SpeaksInLinesToAProgram(t *testing.T) {
	srv := loadtest.Start(false, func(int) loadtest.Fault { return loadtest.None })
	defer srv.Close()
	out, err := run(t, srv.URL, "--rate", "50", "--for", "1200ms", "--timeout", "1m", "--lines")
	if err != nil {
		t.Fatal(err)
	}
	var lives int
	for line := range strings.Lines(out) {
		var l struct {
			Live, Traffic *struct{ Requests int }
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		switch {
		case l.Live != nil:
			lives++
		case l.Traffic == nil || l.Traffic.Requests != 60:
			t.Errorf("the last line is %s", line)
		}
	}
	if lives == 0 {
		t.Error("nothing was said on the way")
	}
}
