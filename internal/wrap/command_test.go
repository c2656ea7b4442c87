package wrap_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gapless.dev/kit"
)

func TestCommand_EndsTheWrapperWithItsCode(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{"/die": 7, "/kill": 137, "/go": 0} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{command: service("plain")}).ready()
			if res, body := w.get(path); res.StatusCode != http.StatusBadGateway || !strings.Contains(body, "broke off") {
				t.Errorf("%d %q", res.StatusCode, body)
			}
			if code, _ := w.wait(); code != want {
				t.Errorf("exit %d, want %d", code, want)
			}
		})
	}
}

func TestCommand_ThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "no-program")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]int{"no-such-command": 127, file: 126} {
		w := start(t, setup{command: []string{command}})
		if code, _ := w.wait(); code != want || !strings.Contains(w.log(), "cannot start") {
			t.Errorf("%s: exit %d, want %d", command, code, want)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w := start(t, setup{command: service("plain"), flags: []string{"--listen", taken.Addr().String()}})
	if code, _ := w.wait(); code != 1 || !strings.Contains(w.log(), "cannot listen on "+taken.Addr().String()) {
		t.Errorf("exit %d for a port that is taken", code)
	}
}

func TestCommand_ThatPutsItselfIntoTheBackgroundIsTold(t *testing.T) {
	t.Parallel()
	w := start(t, setup{command: service("plain")}).ready()
	w.get("/orphan?s=60")
	res, err := one.Get(w.url("/go"))
	if err == nil {
		res.Body.Close()
	}
	if code, _ := w.wait(); code != 0 || !strings.Contains(w.log(), "start the service in the foreground") {
		t.Errorf("exit %d", code)
	}
}

func TestCommand_OrphansAreReapedAndEndWithIt(t *testing.T) {
	t.Parallel()
	w := start(t, setup{command: service("plain")}).ready()
	for range 5 {
		w.get("/orphan?s=0")
	}
	w.get("/orphan?s=600")
	w.until("without zombies", func() bool {
		running, zombies := children(w.Process.Pid)
		return len(zombies) == 0 && len(running) == 2 // the service, and the orphan that sleeps
	})
	running, _ := children(w.Process.Pid)
	if code, _ := w.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	untilGone(t, running)
}

// untilGone waits until none of the processes runs. What was killed is so once the system has got round to it; what was not, sleeps for longer
// than this waits.
func untilGone(t *testing.T, processes []string) {
	t.Helper()
	for _, dir := range processes {
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			text, err := os.ReadFile(filepath.Join(dir, "stat"))
			if err != nil || strings.Contains(string(text), ") Z ") {
				break
			}
			if time.Now().After(end) {
				t.Errorf("outlived the wrapper: %s", text)
				break
			}
		}
	}
}

func TestSignals_ArePassedOnAndTheLastOneWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, flag string
		asks       syscall.Signal
		want       string
	}{
		{"SIGTERM", "TERM", syscall.SIGTERM, "got terminated"},
		{"SIGQUIT, as the image of nginx has it", "quit", syscall.SIGQUIT, "got quit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{command: service("tells"), flags: []string{"--stop-signal", c.flag}}).ready()
			w.signal(syscall.SIGHUP)
			w.signal(syscall.SIGUSR1)
			w.until("told", func() bool {
				return strings.Contains(w.log(), "got hangup") && strings.Contains(w.log(), "got user defined signal 1")
			})
			w.signal(c.asks)
			w.signal(c.asks)
			w.until("draining", func() bool { return w.code(w.health, "/readyz") == http.StatusServiceUnavailable })
			if strings.Contains(w.log(), c.want) {
				t.Error("the command was told before its traffic was gone")
			}
			if _, body := w.get("/"); body != "hello\n" {
				t.Errorf("in the drain: %q", body)
			}
			if code, _ := w.wait(); code != 0 || strings.Count(w.log(), c.want) != 1 {
				t.Errorf("exit %d; it was told %d times", code, strings.Count(w.log(), c.want))
			}
		})
	}
}

func TestStop_OfACommandThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	ignores := append([]string{"/bin/sh", "-c", `trap "" TERM; exec "$@"`, "sh"}, python(t)...)
	long := kit.Budget{Grace: 2 * time.Minute, Drain: time.Second, Close: time.Second, Margin: 2 * time.Second}
	hasty := kit.Budget{Grace: 6 * time.Second, Drain: time.Second, Close: 100 * time.Millisecond, Margin: 2 * time.Second}
	for name, c := range map[string]struct {
		command, flags []string
		budget         kit.Budget
		least, most    time.Duration // that it waits for the command's end
	}{
		"it ignores the signal: it gets the time for closing": {ignores, nil, long, time.Second, time.Minute},
		"it hears the signal: it gets what is left":           {service("deaf"), nil, hasty, time.Second, time.Minute},
		"or what it was given":                                {service("deaf"), []string{"--stop-within", "500ms"}, long, 500 * time.Millisecond, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{command: c.command, flags: c.flags, budget: c.budget}).ready()
			running, _ := children(w.Process.Pid)
			code, report := w.stop()
			// On a machine that is late at the very end of the time, kit gives up waiting before the kill is seen.
			if code != 0 || len(report.Closed) != 1 || !strings.Contains(report.Closed[0].Error, "was killed") && !strings.Contains(report.Closed[0].Error, "no answer in time") {
				t.Fatalf("exit %d, %+v", code, report.Closed)
			}
			untilGone(t, running)
			if took := time.Duration(report.Closed[0].TookMs) * time.Millisecond; took < c.least || took > c.most {
				t.Errorf("it waited %v, and it is to be %v to %v", took, c.least, c.most)
			}
		})
	}
}

func TestStop_ACommandThatFailsToEndIsReported(t *testing.T) {
	t.Parallel()
	w := start(t, setup{command: service("fails")}).ready()
	code, report := w.stop()
	if code != 0 || len(report.Closed) != 1 || !strings.Contains(report.Closed[0].Error, "exited with code 9") {
		t.Errorf("exit %d, %+v", code, report.Closed)
	}
}

func TestStop_BeforeReadyIsAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t, setup{command: service("never"), budget: kit.DefaultBudget()})
	w.until("alive", func() bool { return w.code(w.health, "/livez") == http.StatusOK })
	if code := w.code(w.health, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("readiness %d", code)
	}
	if c, err := net.Dial("tcp", w.addr); err == nil {
		c.Close()
		t.Error("it listens before the command does")
	}
	code, report := w.stop()
	for _, p := range report.Phases {
		if p.Phase == kit.PhaseDraining {
			t.Error("it drained")
		}
	}
	if code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestStop_ASecondInterruptEndsItAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t, setup{command: service("plain"), budget: kit.DefaultBudget()}).ready()
	running, _ := children(w.Process.Pid)
	w.signal(syscall.SIGINT)
	w.until("draining", func() bool { return w.code(w.health, "/readyz") == http.StatusServiceUnavailable })
	w.signal(syscall.SIGINT)
	if code, _ := w.wait(); code != 130 {
		t.Errorf("exit %d", code)
	}
	untilGone(t, running)
}

func TestReady_ByPathCommandAndFile(t *testing.T) {
	t.Parallel()
	marker := filepath.Join(t.TempDir(), "serves")
	file := filepath.Join(t.TempDir(), "ready")
	w := start(t, setup{command: service("late"), flags: []string{"--ready-path", "/ready", "--ready-file", file}})
	w.ready()
	if code := w.code(w.addr, "/ready"); code != http.StatusOK {
		t.Errorf("it was ready before the command: %d", code)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if code, _ := w.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file says ready after the end")
	}

	w = start(t, setup{command: service("plain"), flags: []string{
		"--ready-exec", "test -e " + marker, "--ready-period", "20ms", "--ready-failures", "2",
	}})
	w.until("asked for", func() bool { return w.code(w.health, "/livez") == http.StatusOK })
	if code := w.code(w.health, "/readyz"); code == http.StatusOK {
		t.Error("ready without the marker")
	}
	for _, want := range []int{http.StatusOK, http.StatusServiceUnavailable, http.StatusOK} {
		var err error
		if want == http.StatusOK {
			err = os.WriteFile(marker, nil, 0o644)
		} else {
			err = os.Remove(marker)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.until(fmt.Sprint("answering ", want), func() bool { return w.code(w.health, "/readyz") == want })
	}
}
