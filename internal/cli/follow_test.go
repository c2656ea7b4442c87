package cli

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gapless.dev/gapless/internal/follow/followtest"
	"gapless.dev/gapless/internal/local"
	"gapless.dev/gapless/internal/probe"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/test/typed"
	"gapless.dev/kit/load"
)

const gitPassword = "s3cr3t-Passw0rd"

// A workshop is a repository on a git server, an app that follows it, and what runs of it: gapless up and gapless follow, as a person starts them.
type workshop struct {
	*testing.T
	git  *followtest.Server
	code *followtest.Clone
	dir  string
	up   *command
	// follow prints what it does.
	follow *command
	url    string
}

// A command is a gapless that runs.
type command struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
}

func (c *command) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *command) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

func (w *workshop) start(args ...string) *command {
	w.Helper()
	c := &command{cmd: exec.Command(filepath.Join(w.dir, "bin", "gapless"), args...)}
	c.cmd.Args[0] = "gapless" // the test binary is gapless by the name that it is called by
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = w.dir, c, c
	c.cmd.Env = w.env()
	if err := c.cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		_ = c.cmd.Process.Signal(os.Interrupt)
		_ = c.cmd.Wait()
		if w.Failed() {
			w.Logf("gapless %s:\n%s", strings.Join(args, " "), c.said())
		}
	})
	return c
}

func (w *workshop) env() []string {
	return append(os.Environ(), "GAPLESS_SOCKET="+filepath.Join(w.dir, "s"), "HOME="+w.dir, "GAPLESS_DRAIN=50ms",
		"GAPLESS_GIT_USERNAME=robot", "GAPLESS_GIT_PASSWORD="+gitPassword, "PATH="+filepath.Join(w.dir, "bin")+":"+os.Getenv("PATH"))
}

func newWorkshop(t *testing.T, follow string) *workshop {
	t.Helper()
	w := &workshop{T: t, git: followtest.Serve(t, "127.0.0.1:0"), dir: t.TempDir()}
	w.git.Username, w.git.Password = "robot", gitPassword
	w.code = w.git.Repository("demo-api")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(w.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gapless", "api-status"} {
		if err := os.Symlink(self, filepath.Join(w.dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	file := fmt.Sprintf(`name: demo-api
command: ["./run", "127.0.0.1:{port}"]
version: 1.0.0
replicas: 2
ports: {http: 0}
health: {ready: {path: /ready, period: 100ms}, startup: 20s}
strategy: {canary: {steps: [{weight: 50, pause: 300ms}]}}
deadline: 8s
follow: {repository: %q, insecure: true, every: 200ms, build: [sh, ./build]%s}
`, w.git.URL("demo-api"), follow)
	w.write("gapless.yaml", file)
	w.write("run", service)
	w.up = w.start("up", "-q")
	w.eventually("it serves", func() error {
		ping, err := local.Dial(filepath.Join(w.dir, "s")).Ping(t.Context())
		if err == nil && len(ping.Ports) > 0 {
			w.url = "http://" + ping.Ports[0].Address + "/"
			_, err = typed.Version(w.url)
		}
		return err
	})
	return w
}

// service is the demo service in a script of a line, so that a tag's tree can hold it.
const service = "#!/bin/sh\nexec api-status -addr \"$1\"\n"

func (w *workshop) write(name, text string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o755); err != nil {
		w.Fatal(err)
	}
}

// release commits a service and tags it. The build makes the program of a template that is in the code.
func (w *workshop) release(tag, program string, args ...string) string {
	w.Helper()
	w.code.Commit("build", "set -eu\necho building $GAPLESS_TAG\ntest -z \"${GAPLESS_GIT_PASSWORD:-}\"\ncp run.in run\nchmod +x run\n")
	commit := w.code.Commit("run.in", program)
	w.code.Tag(tag, args...)
	return commit
}

func (w *workshop) status() report.Report {
	w.Helper()
	r, err := local.Dial(filepath.Join(w.dir, "s")).Status(w.Context(), "demo-api")
	if err != nil {
		w.Fatal(err)
	}
	return r
}

func (w *workshop) eventually(what string, holds func() error) {
	w.Helper()
	end := time.Now().Add(time.Minute)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			w.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *workshop) over(to string, outcome report.Outcome) {
	w.Helper()
	w.eventually(to+" is "+string(outcome), func() error {
		if r := w.status(); r.To != to || r.Outcome != outcome {
			return fmt.Errorf("%s is %s: %s", r.To, r.Outcome, r.Message)
		}
		return nil
	})
}

func (w *workshop) says(text string) {
	w.Helper()
	w.eventually(fmt.Sprintf("it says %q", text), func() error {
		if !strings.Contains(w.follow.said(), text) {
			return fmt.Errorf("it has said\n%s", w.follow.said())
		}
		return nil
	})
}

func (w *workshop) serves(want string) {
	w.Helper()
	if got, err := typed.Version(w.url); err != nil || got != want {
		w.Errorf("version %q serves, %v; want %s", got, err, want)
	}
}

// TestFollow_ATagDeploysItself tells the story of a tag on one machine: a version goes live without a lost request, a bad one is taken back and
// stays off, the next one goes live.
func TestFollow_ATagDeploysItself(t *testing.T) {
	w := newWorkshop(t, "")
	w.follow = w.start("follow")
	w.says("no tags yet")

	p, counted := probe.New(load.Options{URL: w.url, Rate: 60, New: 0.5, Timeout: 10 * time.Second}), make(chan report.Traffic, 1)
	probing, stop := context.WithCancel(t.Context())
	go func() {
		c, err := p.Run(probing)
		if err != nil {
			t.Error(err)
		}
		counted <- c
	}()

	commit := w.release("v2.0.0", service)
	w.over("2.0.0", report.Promoted)
	w.serves("2.0.0")
	if s := w.status().Source; s == nil || s.Tag != "v2.0.0" || s.Commit != commit || s.Repository != w.git.URL("demo-api") {
		t.Errorf("the report does not say where it comes from: %+v", s)
	}

	w.release("v2.1.0", "#!/bin/sh\necho this version cannot start\nexit 3\n")
	w.over("2.1.0", report.Aborted)
	w.serves("2.0.0")
	w.says("did not stay: 2.0.0 is wanted")
	looks := len(w.git.Requests())
	w.eventually("it has looked again", func() error {
		if n := len(w.git.Requests()); n < looks+4 {
			return fmt.Errorf("%d looks", n-looks)
		}
		return nil
	})
	if r := w.status(); r.To != "2.1.0" || r.Outcome != report.Aborted {
		t.Errorf("what was taken back was tried again: %s is %s", r.To, r.Outcome)
	}

	w.release("v2.1.1", service)
	w.over("2.1.1", report.Promoted)
	w.serves("2.1.1")
	stop()
	if c := <-counted; c.Lost > 0 || c.Requests == 0 {
		t.Errorf("%d of %d requests lost: %v %+v", c.Lost, c.Requests, c.Losses, c.Examples)
	} else {
		t.Logf("0 of %d requests lost", c.Requests)
	}
	w.holdsNoSecret()
}

func TestFollow_AsksBeforeAMovedTag(t *testing.T) {
	w := newWorkshop(t, "")
	w.follow = w.start("follow")
	w.release("v2.0.0", service)
	w.over("2.0.0", report.Promoted)
	moved := w.release("v2.0.0", service+"# moved\n", "-f")
	w.says("gapless accept demo-api v2.0.0 says yes")
	if r := w.status(); r.Source.Commit == moved || !r.Over() {
		t.Errorf("it was taken without a yes: %+v", r.Source)
	}
	w.run(2, "accept", "demo-api", "v9.9.9")
	if out := w.run(0, "accept", "demo-api", "v2.0.0", "-o", "json"); !strings.Contains(out, moved) {
		t.Errorf("the yes does not say to which commit it is: %s", out)
	}
	w.over("2.0.0-"+moved[:7], report.Promoted)
	if s := w.status().Source; s.Commit != moved {
		t.Errorf("what was said yes to is %s, and %s runs", moved, s.Commit)
	}
	w.run(2, "accept", "demo-api")
}

// TestFollow_LooksWhenItIsCalled: between two looks an hour passes, and the call of a git host is enough, if it is signed.
func TestFollow_LooksWhenItIsCalled(t *testing.T) {
	w := newWorkshop(t, "")
	text, err := os.ReadFile(filepath.Join(w.dir, "gapless.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("gapless.yaml", strings.Replace(string(text), "every: 200ms", "every: 1h", 1))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	t.Setenv("GAPLESS_HOOK_SECRET", gitPassword)
	w.follow = w.start("follow", "--hooks", address)
	w.says("no tags yet")
	w.release("v2.0.0", service)
	call := func(secret string) int {
		code := 0
		w.eventually("the hook answers", func() error {
			body := `{"ref":"refs/tags/v2.0.0"}`
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte(body))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/hooks/demo-api", strings.NewReader(body))
			if err != nil {
				return err
			}
			req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			res.Body.Close()
			code = res.StatusCode
			return nil
		})
		return code
	}
	if code := call("something else"); code != http.StatusForbidden {
		t.Errorf("a call by nobody: %d", code)
	}
	if code := call(gitPassword); code != http.StatusAccepted {
		t.Fatalf("a signed call: %d", code)
	}
	w.over("2.0.0", report.Promoted)
	w.holdsNoSecret()
}

func TestFollow_SaysWhyABuildFails(t *testing.T) {
	w := newWorkshop(t, "")
	w.follow = w.start("follow")
	w.code.Commit("build", "echo no compiler here; exit 7")
	w.code.Tag("v2.0.0")
	w.says("v2.0.0 cannot be built: sh ./build: exit status 7")
	w.says("no compiler here")
	w.code.Commit("build", "true")
	w.code.Tag("v2.0.1")
	w.says("v2.0.1 was built and has no ./run")
	w.serves("1.0.0")
	w.release("v2.0.2", service)
	w.over("2.0.2", report.Promoted)
}

func (w *workshop) run(code int, args ...string) string {
	w.Helper()
	c := exec.Command(filepath.Join(w.dir, "bin", "gapless"), args...)
	c.Args[0], c.Env, c.Dir = "gapless", w.env(), w.dir
	out, err := c.CombinedOutput()
	if got := c.ProcessState.ExitCode(); got != code {
		w.Fatalf("gapless %s: exit code %d, want %d: %v\n%s", strings.Join(args, " "), got, code, err, out)
	}
	return string(out)
}

// holdsNoSecret scans what was printed, reported and written down.
func (w *workshop) holdsNoSecret() {
	w.Helper()
	texts := map[string]string{"follow": w.follow.said(), "up": w.up.said()}
	history, err := local.Dial(filepath.Join(w.dir, "s")).History(w.Context(), "demo-api")
	if err != nil {
		w.Error(err)
	}
	text, _ := json.Marshal(history)
	texts["reports"] = string(text)
	_ = filepath.WalkDir(filepath.Join(w.dir, ".gapless"), func(name string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			text, _ := os.ReadFile(name)
			texts[name] = string(text)
		}
		return nil
	})
	for where, text := range texts {
		if strings.Contains(text, gitPassword) {
			w.Errorf("the password stands in %s", where)
		}
	}
}
