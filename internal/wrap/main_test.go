package wrap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gapless.dev/gapless/internal/cli/exit"
	command "gapless.dev/gapless/internal/cli/wrap"
	"gapless.dev/kit"
)

// The test binary is gapless wrap, and a service to wrap, too: wrap owns its process.
func TestMain(m *testing.M) {
	switch role := os.Getenv("WRAP_TEST"); role {
	case "":
		os.Exit(m.Run())
	case "wrap":
		os.Unsetenv("WRAP_TEST")
		cmd := command.New()
		cmd.SetArgs(os.Args[1:])
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.ExecuteContext(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(exit.Code(err))
	default:
		serve(role)
	}
}

// service is this binary as the service of that name, as a command.
func service(name string) []string {
	return []string{"/usr/bin/env", "WRAP_TEST=" + name, os.Args[0]}
}

// A setup is what is wrapped, and how. {fixed} in its words is a free port.
type setup struct {
	flags   []string
	command []string
	env     []string
	budget  kit.Budget // default short
	bare    bool       // nothing wraps the command: it listens on PORT itself, and hears of the budget
}

// short is a budget for tests: a drain of 1 s, 2 s for requests in flight.
var short = kit.Budget{Grace: 6 * time.Second, Drain: time.Second, Close: time.Second, Margin: 2 * time.Second}

// A wrapped is a gapless wrap that was started.
type wrapped struct {
	*exec.Cmd
	t            *testing.T
	addr, health string
	dir          string
	ended        chan struct{}
}

// start starts it and returns at once.
func start(t *testing.T, s setup) *wrapped {
	t.Helper()
	if s.budget == (kit.Budget{}) {
		s.budget = short
	}
	ports := freePorts(t, 3)
	w := &wrapped{
		t: t, dir: t.TempDir(), ended: make(chan struct{}),
		addr: "127.0.0.1:" + ports[0], health: "127.0.0.1:" + ports[1],
	}
	words := append([]string{"--listen", w.addr, "--close", s.budget.Close.String()}, s.flags...)
	if len(s.command) > 0 {
		words = append(append(words, "--"), s.command...)
	}
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "{fixed}", ports[2])
	}
	w.Cmd = exec.Command(os.Args[0], words...)
	if s.bare {
		w.Cmd = exec.Command(s.command[0], s.command[1:]...)
		s.env = append(s.env, "PORT={listen}")
	}
	w.Env = append(os.Environ(), "WRAP_TEST=wrap", "GAPLESS_VERSION=1.2.3", "GAPLESS_HEALTH="+w.health, "GAPLESS_REPORT="+w.file("report"),
		"GAPLESS_GRACE="+s.budget.Grace.String(), "GAPLESS_DRAIN="+s.budget.Drain.String())
	for _, entry := range s.env {
		w.Env = append(w.Env, strings.ReplaceAll(entry, "{listen}", ports[0]))
	}
	log, err := os.Create(w.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	w.Stdout, w.Stderr = log, log
	w.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = w.Wait()
		close(w.ended)
	}()
	t.Cleanup(func() {
		w.signal(syscall.SIGKILL)
		<-w.ended
		if t.Failed() {
			t.Logf("it said:\n%s", w.log())
		}
	})
	return w
}

// ready waits until it says that it is.
func (w *wrapped) ready() *wrapped {
	w.t.Helper()
	w.until("ready", func() bool { return w.code(w.health, "/readyz") == http.StatusOK })
	return w
}

// until waits for something that nobody tells.
func (w *wrapped) until(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		select {
		case <-w.ended:
			w.t.Fatalf("ended with %v before it was %s", w.ProcessState, what)
		default:
		}
		if time.Now().After(end) {
			w.t.Fatalf("not %s within 30s", what)
		}
	}
}

func (w *wrapped) signal(sig syscall.Signal) {
	select {
	case <-w.ended:
	default:
		_ = w.Process.Signal(sig)
	}
}

// stop asks it to stop, and returns its exit code and report.
func (w *wrapped) stop() (int, kit.Report) {
	w.t.Helper()
	w.signal(syscall.SIGTERM)
	return w.wait()
}

func (w *wrapped) wait() (int, kit.Report) {
	w.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(time.Minute):
		w.t.Fatal("did not end")
	}
	var r kit.Report
	if text, err := os.ReadFile(w.file("report")); err == nil {
		if err := json.Unmarshal(text, &r); err != nil {
			w.t.Error(err)
		}
	}
	return w.ProcessState.ExitCode(), r
}

func (w *wrapped) file(name string) string { return filepath.Join(w.dir, name) }

func (w *wrapped) log() string {
	text, _ := os.ReadFile(w.file("log"))
	return string(text)
}

func (w *wrapped) url(path string) string { return "http://" + w.addr + path }

// one asks on a connection of its own, once.
var one = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}

func (w *wrapped) code(addr, path string) int {
	res, err := one.Get("http://" + addr + path)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

func (w *wrapped) get(path string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, w.url(path), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(req)
}

func (w *wrapped) do(req *http.Request) (*http.Response, string) {
	w.t.Helper()
	res, err := one.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res, string(body)
}

// handed counts the ports that were handed out: tests run side by side, and a port is free until its owner listens.
var handed atomic.Int32

// freePorts are free, and below those that the system and others here give out.
func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for len(ports) < n {
		port := 10000 + (os.Getpid()*53+int(handed.Add(1)))%2000
		ln, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		ln.Close()
		ports = append(ports, strconv.Itoa(port))
	}
	return ports
}

// children are the processes that a process has started and that run, zombies by themselves.
func children(pid int) (running, zombies []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if fields[1] != strconv.Itoa(pid) {
			continue
		}
		if fields[0] == "Z" {
			zombies = append(zombies, filepath.Dir(file))
		} else {
			running = append(running, filepath.Dir(file))
		}
	}
	return running, zombies
}

// python is the service of the example, as a command.
func python(t *testing.T) []string {
	t.Helper()
	path, err := exec.LookPath("/usr/bin/python3")
	if err != nil {
		if path, err = exec.LookPath("python3"); err != nil {
			t.Skip("python3 is not installed")
		}
	}
	return []string{path, "../../examples/python/server.py"}
}
