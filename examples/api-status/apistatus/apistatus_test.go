package apistatus

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is the service, too, so that it can be started and stopped as a process.
func TestMain(m *testing.M) {
	if os.Getenv("API_STATUS_MAIN") != "" {
		os.Exit(Main("1.0.0", os.Args[1:]))
	}
	os.Exit(m.Run())
}

func TestHello_SaysVersionAndHostAsTextAndAsJSON(t *testing.T) {
	srv := handlerOf(t, Options{Version: "1.0.0"})
	host, _ := os.Hostname()
	if got := get(t, srv.URL+"/v1/users", ""); !strings.HasPrefix(got, "api-status 1.0.0 on "+host) {
		t.Errorf("text: %q", got)
	}
	var a answer
	if err := json.Unmarshal([]byte(get(t, srv.URL+"/v1/users", "application/json")), &a); err != nil {
		t.Fatal(err)
	}
	if a.Version != "1.0.0" || a.Host != host || a.Path != "/v1/users" {
		t.Errorf("JSON: %+v", a)
	}
	if got := get(t, srv.URL+"/count", ""); got != "2\n" {
		t.Errorf("count %q, want 2", got)
	}
}

func TestSwitches_TurnHealthAndReadinessOffAndOn(t *testing.T) {
	srv := handlerOf(t, Options{Version: "1.0.0"})
	for _, step := range []struct {
		path           string
		healthz, ready int
	}{
		{"/", 200, 200},
		{"/doUnHealthz", 500, 200},
		{"/doNotReady", 500, 500},
		{"/doHealthz", 200, 500},
		{"/doReady", 200, 200},
	} {
		get(t, srv.URL+step.path, "")
		if h, r := code(t, srv.URL+"/healthz"), code(t, srv.URL+"/ready"); h != step.healthz || r != step.ready {
			t.Errorf("after %s: healthz %d, ready %d, want %d and %d", step.path, h, r, step.healthz, step.ready)
		}
	}
}

func TestFail_IsSeenOnlyInItsVersion(t *testing.T) {
	for text, want := range map[string]struct{ one, two int }{
		"":                  {200, 200},
		"never-ready":       {503, 503},
		"ready500":          {500, 500},
		"2.0.0:ready500":    {200, 500},
		"2.0.0:never-ready": {200, 503},
	} {
		f, err := ParseFailure(text)
		if err != nil {
			t.Fatal(err)
		}
		one := handlerOf(t, Options{Fail: f.in("1.0.0")})
		two := handlerOf(t, Options{Fail: f.in("2.0.0")})
		if a, b := code(t, one.URL+"/ready"), code(t, two.URL+"/ready"); a != want.one || b != want.two {
			t.Errorf("%q: %d and %d, want %d and %d", text, a, b, want.one, want.two)
		}
	}
}

func TestFail_RefusesWhatItDoesNotKnow(t *testing.T) {
	for _, text := range []string{"explode", "exit=3s", "die-after", "die-after=soon", "die-after=-1s", "2.0.0:nothing", "errors", "errors=2", "errors=200%", "errors=2%@", "slow=x", "post-errors=0%"} {
		if _, err := ParseFailure(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestSlow_AnswersLaterAndRefusesNonsense(t *testing.T) {
	srv := handlerOf(t, Options{Version: "1.0.0"})
	if got := get(t, srv.URL+"/slow?ms=1", ""); !strings.HasPrefix(got, "api-status") {
		t.Errorf("got %q", got)
	}
	for _, q := range []string{"", "?ms=x", "?ms=-1", "?ms=99999999"} {
		if c := code(t, srv.URL+"/slow"+q); c != 400 {
			t.Errorf("/slow%s: %d, want 400", q, c)
		}
	}
}

func TestNaive_DiesOnSIGTERM(t *testing.T) {
	p := start(t, "-naive")
	p.stop(syscall.SIGTERM)
	if state := p.wait(); state.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("ended by %v, want SIGTERM", state)
	}
}

func TestPrepared_AnswersWhatIsOnItsWayAndEndsCleanly(t *testing.T) {
	p := start(t)
	slow := make(chan string, 1)
	go func() {
		resp, err := http.Get(p.url + "/slow?ms=400")
		if err != nil {
			slow <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		slow <- fmt.Sprint(resp.StatusCode, resp.Header.Get("Gapless-Version"), err, len(body) > 0)
	}()
	// Whether the slow request is there before or after the signal does not matter: the drain goes on serving.
	get(t, p.url+"/ready", "")
	p.stop(syscall.SIGTERM)
	if got, want := <-slow, "200"+"9.9.9"+"<nil>true"; strings.ReplaceAll(got, " ", "") != want {
		t.Errorf("the slow request got %q, want %q", got, want)
	}
	if state := p.wait(); state.ExitCode() != 0 {
		t.Errorf("ended with %v, want 0", state)
	}
}

func TestExit_EndsAtOnceWithALogLine(t *testing.T) {
	cmd := command(t, "-fail", "exit")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "giving up") {
		t.Errorf("%v: %s", err, stderr.String())
	}
}

func TestMain_RefusesAFlagThatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{{"-what"}, {"-fail", "explode"}, {"word"}} {
		cmd := command(t, args...)
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != 2 {
			t.Errorf("%v: %v, want exit code 2", args, err)
		}
	}
}

func handlerOf(t *testing.T, o Options) *httptest.Server {
	t.Helper()
	ok := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	srv := httptest.NewServer(newStatus(o).mux(ok, ok))
	t.Cleanup(srv.Close)
	return srv
}

type process struct {
	*exec.Cmd
	t   *testing.T
	url string
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "API_STATUS_MAIN=1", "GAPLESS_VERSION=9.9.9", "GAPLESS_DRAIN=100ms")
	return cmd
}

// start runs the service on a free port and returns when it is ready.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	p := &process{Cmd: command(t, append(args, "-addr", addr)...), t: t, url: "http://" + addr}
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(stderr); s.Scan(); {
		}
	}()
	for range 500 {
		if resp, err := http.Get(p.url + "/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				return p
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("not ready within ten seconds")
	return nil
}

func (p *process) stop(sig os.Signal) {
	if err := p.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) wait() *os.ProcessState {
	_ = p.Wait()
	return p.ProcessState
}

func get(t *testing.T, url, accept string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func code(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestTrouble_AnswersErrorsAsItIsTold(t *testing.T) {
	ask := func(url, method string) int {
		req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for text, want := range map[string]map[string]int{
		"errors=100%":      {http.MethodGet: 500, http.MethodPost: 500},
		"errors=100%@1h":   {http.MethodGet: 200, http.MethodPost: 200},
		"post-errors=100%": {http.MethodGet: 200, http.MethodPost: 500},
		"slow=1ms":         {http.MethodGet: 200, http.MethodPost: 200},
	} {
		f, err := ParseFailure(text)
		if err != nil {
			t.Fatal(err)
		}
		srv := handlerOf(t, Options{Fail: f})
		for method, code := range want {
			if got := ask(srv.URL, method); got != code {
				t.Errorf("%s: %s is answered %d, want %d", text, method, got, code)
			}
		}
		body := get(t, srv.URL+"/metrics", "")
		for method, code := range want {
			if line := fmt.Sprintf("http_requests_total{method=%q,code=\"%d\"} 1\n", method, code); !strings.Contains(body, line) {
				t.Errorf("%s: no %q in\n%s", text, line, body)
			}
		}
		if !strings.Contains(body, "http_request_duration_seconds_count 2\n") {
			t.Errorf("%s:\n%s", text, body)
		}
	}
}
