package wrap_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// In mode tcp wrap does not look at what is spoken: here TLS, which the command ends itself.
func TestTCP_PassesConnectionsThroughAndWaitsForWhatIsOwed(t *testing.T) {
	t.Parallel()
	cert, key, client := certificate(t)
	inner := freePorts(t, 2)
	// The command is itself a wrapper, as a service that speaks TLS; it is told to stop last.
	tlsService := append([]string{
		"/usr/bin/env", "WRAP_TEST=wrap", "GAPLESS_HEALTH=127.0.0.1:" + inner[0], "GAPLESS_DRAIN=0s",
		service("plain")[2], "--cert", cert, "--key", key, "--",
	}, service("plain")...)
	w := start(t, setup{command: tlsService, flags: []string{"--mode", "tcp"}, budget: patient}).ready()

	ask := func(tr *http.Transport, path string) (string, error) {
		res, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Get("https://" + w.addr + path)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
	kept := &http.Transport{TLSClientConfig: client}
	if body, err := ask(kept, "/"); err != nil || body != "hello\n" {
		t.Fatalf("%q, %v", body, err)
	}
	silent, err := net.Dial("tcp", w.addr) // opened in advance, and never used
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	slow := make(chan error, 1)
	go func() {
		_, err := ask(&http.Transport{TLSClientConfig: client.Clone()}, "/slow?ms=2200")
		slow <- err
	}()
	time.Sleep(100 * time.Millisecond)
	w.signal(syscall.SIGTERM)
	w.until("draining", func() bool { return w.code(w.health, "/readyz") == http.StatusServiceUnavailable })
	if body, err := ask(&http.Transport{TLSClientConfig: client.Clone(), DisableKeepAlives: true}, "/"); err != nil || body != "hello\n" {
		t.Errorf("a new connection in the drain: %q, %v", body, err)
	}
	if err := <-slow; err != nil {
		t.Errorf("in flight at the signal: %v", err)
	}
	code, report := w.wait()
	if code != 0 || len(report.Cut.Servers) != 0 {
		t.Errorf("exit %d, cut %+v", code, report.Cut)
	}
}

func TestTCP_CutsWhatIsOwedForTooLongAndSaysSo(t *testing.T) {
	t.Parallel()
	w := start(t, setup{command: service("plain"), flags: []string{"--mode", "tcp"}}).ready()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /slow?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
	time.Sleep(100 * time.Millisecond)
	code, report := w.stop()
	if code != 3 || len(report.Cut.Servers) != 1 || !strings.Contains(w.log(), "connections=1") {
		t.Errorf("exit %d, cut %+v", code, report.Cut)
	}
}

// In mode signal the port is the command's, and only the signal waits.
func TestSignal_OnlyDelaysTheSignal(t *testing.T) {
	t.Parallel()
	w := start(t, setup{command: service("tells"), flags: []string{"--mode", "signal"}, env: []string{"PORT={listen}"}}).ready()
	stopped := time.Now()
	w.signal(syscall.SIGTERM)
	w.until("draining", func() bool { return w.code(w.health, "/readyz") == http.StatusServiceUnavailable })
	if body := w.body("/"); body != "hello\n" {
		t.Errorf("in the drain: %q", body)
	}
	code, _ := w.wait()
	if took := time.Since(stopped); code != 0 || took < short.Drain || !strings.Contains(w.log(), "got terminated") {
		t.Errorf("exit %d after %v", code, took)
	}
}

func (w *wrapped) body(path string) string {
	w.t.Helper()
	_, body := w.get(path)
	return body
}

// A native sidecar stands before a container that it did not start. The hook of that container waits for the drain's end.
func TestSidecar_TheHookOfTheServiceWaitsForTheDrain(t *testing.T) {
	t.Parallel()
	port := freePorts(t, 1)[0]
	app := exec.Command(service("plain")[0], service("plain")[1:]...)
	app.Env = append(app.Environ(), "PORT="+port)
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = app.Process.Kill()
		_ = app.Wait()
	}()
	w := start(t, setup{flags: []string{"--to", "127.0.0.1:" + port, "--drain-endpoint"}, budget: patient}).ready()
	if body := w.body("/"); body != "hello\n" {
		t.Errorf("%q", body)
	}
	const lasts = 3 * time.Second
	slow := make(chan string, 1)
	asked := time.Now()
	go func() { slow <- w.body(fmt.Sprintf("/slow?ms=%d", lasts.Milliseconds())) }()
	time.Sleep(100 * time.Millisecond)
	res, err := one.Get("http://" + w.health + "/drain?wait")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if took := time.Since(asked); res.StatusCode != http.StatusOK || took < lasts {
		t.Errorf("the hook ended with %d, %v after a request in flight was begun that takes %v", res.StatusCode, took, lasts)
	}
	if body := <-slow; body != "slept\n" {
		t.Errorf("in flight: %q", body)
	}
	if code, report := w.wait(); code != 0 || report.Reason != "/drain" {
		t.Errorf("exit %d, reason %q", code, report.Reason)
	}
}

// A sidecar is not ready while the container that it serves is away, and refuses in its own name.
func TestSidecar_IsReadyWhileTheServiceIs(t *testing.T) {
	t.Parallel()
	port := freePorts(t, 1)[0]
	app := func() *exec.Cmd {
		cmd := exec.Command(service("plain")[0], service("plain")[1:]...)
		cmd.Env = append(cmd.Environ(), "PORT="+port)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	w := start(t, setup{flags: []string{"--to", "127.0.0.1:" + port, "--ready-path", "/ready", "--ready-period", "20ms"}})
	first := app()
	w.ready()
	_ = first.Process.Kill()
	_ = first.Wait()
	w.until("not ready", func() bool { return w.code(w.health, "/readyz") == http.StatusServiceUnavailable })
	if res, body := w.get("/"); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "does not listen") {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	second := app()
	defer func() {
		_ = second.Process.Kill()
		_ = second.Wait()
	}()
	w.ready()
}

func TestOptions_ThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		setup setup
		says  string
	}{
		"nothing":      {setup{}, "nothing to wrap"},
		"same port":    {setup{flags: []string{"--listen", ":8080", "--to", "127.0.0.1:8080"}}, "which is the command's"},
		"half a key":   {setup{flags: []string{"--cert", "a.pem"}, command: service("plain")}, "belong together"},
		"tls in tcp":   {setup{flags: []string{"--mode", "tcp", "--cert", "a", "--key", "b"}, command: service("plain")}, "needs no certificate"},
		"no mode":      {setup{flags: []string{"--mode", "magic"}, command: service("plain")}, "give http, tcp or signal"},
		"no signal":    {setup{flags: []string{"--stop-signal", "KILL"}, command: service("plain")}, "give a signal by name"},
		"two checks":   {setup{flags: []string{"--ready-path", "/", "--ready-exec", "true"}, command: service("plain")}, "give one of the two"},
		"no budget":    {setup{env: []string{"GAPLESS_GRACE=4s"}, command: service("plain")}, "raise grace"},
		"no address":   {setup{flags: []string{"--listen", "8080"}, command: service("plain")}, "give an address with a port"},
		"no such flag": {setup{flags: []string{"--what"}, command: service("plain")}, "unknown flag"},
	} {
		w := start(t, c.setup)
		if code, _ := w.wait(); code == 0 || !strings.Contains(w.log(), c.says) {
			t.Errorf("%s: exit %d: %s", name, code, w.log())
		}
	}
}
