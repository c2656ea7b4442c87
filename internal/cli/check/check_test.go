package check_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gapless.dev/gapless/internal/check"
	command "gapless.dev/gapless/internal/cli/check"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/kit/kittest/faulty"
)

// The test binary is also the services that are checked.
const serveEnv = "CHECK_COMMAND_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) == "closed" {
		closed := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you?", http.StatusUnauthorized) })
		fmt.Println(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), closed))
		os.Exit(1)
	}
	if fault, err := faulty.Find(os.Getenv(serveEnv)); err == nil {
		os.Exit(fault.Serve())
	}
	os.Exit(m.Run())
}

// output is what a command writes, for whoever wants to know when it has come so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	each func(string)
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.each != nil {
		o.each(string(p))
	}
	return o.text.Write(p)
}

func run(ctx context.Context, t *testing.T, out *output, args ...string) (errs string, code int) {
	t.Helper()
	var stderr bytes.Buffer
	sh := &shell.Shell{In: strings.NewReader(""), Out: out, Err: &stderr, Getenv: func(string) string { return "" }}
	cmd := command.New(sh)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err != nil {
		stderr.WriteString(err.Error())
	}
	return stderr.String(), exit.Code(err)
}

func service(t *testing.T, fault string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{"--env", serveEnv + "=" + fault, "--", self}
}

// A check that is cancelled says what it knows until then, decides nothing, and leaves nothing behind.
func TestCheck_CancelledIsNotDecidedAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	file := filepath.Join(t.TempDir(), "report.json")
	out := &output{each: func(text string) {
		if strings.Contains(text, "Z1 ") {
			cancel() // the rules that others need have been judged
		}
	}}
	_, code := run(ctx, t, out, append([]string{"--drain", "1s", "--grace", "8s", "--rate", "50", "--report", file}, service(t, "good")...)...)
	var r check.Report
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if code != exit.Failed || r.Verdict != check.Incomplete || r.Cause != "" || len(r.Rules) != 22 {
		t.Errorf("exit code %d, verdict %s, cause %q, %d rules", code, r.Verdict, r.Cause, len(r.Rules))
	}
	if !strings.Contains(out.text.String(), "not decided: it was cancelled") {
		t.Errorf("it says:\n%s", out.text.String())
	}
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range environs {
		if env, err := os.ReadFile(name); err == nil && bytes.Contains(env, []byte(serveEnv+"=good\x00")) && bytes.Contains(env, []byte("GAPLESS_GRACE=8s\x00")) {
			t.Errorf("left behind: %s", name)
		}
	}
}

func TestCheck_OnlySomeRulesAndThoseThatTheyNeed(t *testing.T) {
	t.Parallel()
	out := &output{}
	errs, code := run(t.Context(), t, out, append([]string{"--only", "z14,Z20", "--repeat", "1", "--drain", "1s", "--grace", "8s", "--rate", "50", "-o", "json"}, service(t, "z20")...)...)
	var r check.Report
	if err := json.Unmarshal(out.text.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s%s", err, out.text.String(), errs)
	}
	var ids []string
	for _, one := range r.Rules {
		ids = append(ids, one.ID+" "+string(one.Result))
	}
	if got := strings.Join(ids, ", "); code != exit.Failed || r.Cause != "Z20" || got != "Z3 pass, Z1 pass, Z14 pass, Z20 fail" {
		t.Errorf("exit code %d, cause %q: %s", code, r.Cause, got)
	}
}

// A service that lets nobody in is not judged by that.
func TestCheck_WhereNothingCanBeLoadedIsAUsageError(t *testing.T) {
	t.Parallel()
	out := &output{}
	errs, code := run(t.Context(), t, out, service(t, "closed")...)
	if code != exit.Usage || !strings.Contains(errs, "--path") || out.text.Len() > 0 {
		t.Errorf("exit code %d: %s\n%s", code, errs, out.text.String())
	}
}
