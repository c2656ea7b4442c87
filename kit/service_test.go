package kit

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// short is a budget for tests: drain 1 s, 3 s for requests in flight.
var short = Budget{Grace: 5 * time.Second, Drain: time.Second, Close: time.Second}

// running is a service that runs inside the test.
type running struct {
	*Service
	t      *testing.T
	report string
	cancel context.CancelFunc
	code   chan int
}

// start runs a service that setup has filled, and waits until it is ready.
func start(t *testing.T, setup func(*Service), opts ...Option) *running {
	t.Helper()
	warm := make(chan os.Signal, 1) // os/signal keeps a goroutine once it was used
	signal.Notify(warm, os.Interrupt)
	signal.Stop(warm)
	before := runtime.NumGoroutine()
	t.Cleanup(func() { noGoroutinesBeyond(t, before) })

	report := filepath.Join(t.TempDir(), "report.json")
	opts = append([]Option{WithBudget(short), WithReport(report), WithLogger(slog.New(slog.DiscardHandler))}, opts...)
	s := New(opts...)
	setup(s)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Service: s, t: t, report: report, cancel: cancel, code: make(chan int, 1)}
	go func() { r.code <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-r.code:
		case <-time.After(20 * time.Second):
			t.Error("service did not end")
		}
	})
	return r
}

func (r *running) waitReady() *running {
	r.t.Helper()
	select {
	case <-r.ready:
	case code := <-r.code:
		r.code <- code
		r.t.Fatalf("ended with %d before ready: %v", code, r.Err())
	case <-time.After(20 * time.Second):
		r.t.Fatal("not ready")
	}
	return r
}

// stopAndWait asks the service to stop and returns its exit code and report.
func (r *running) stopAndWait() (int, Report) {
	r.t.Helper()
	r.cancel()
	return r.wait()
}

func (r *running) wait() (int, Report) {
	r.t.Helper()
	code := <-r.code
	r.code <- code
	text, err := os.ReadFile(r.report)
	if err != nil {
		r.t.Fatal(err)
	}
	var report Report
	if err := json.Unmarshal(text, &report); err != nil {
		r.t.Fatal(err)
	}
	return code, report
}

func (r *running) url(path string) string {
	return "http://" + r.Addrs()["api"].String() + path
}

// noGoroutinesBeyond waits a little for goroutines to end, then counts.
func noGoroutinesBeyond(t *testing.T, before int) {
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	var now int
	for range 200 {
		if now = runtime.NumGoroutine(); now <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<16)
	t.Errorf("%d goroutines, %d before:\n%s", now, before, stacks[:runtime.Stack(stacks, true)])
}

func api(h http.Handler) func(*Service) {
	return func(s *Service) { s.HTTP("api", &http.Server{Addr: "127.0.0.1:0", Handler: h}) }
}

// get is one request on a connection of its own.
func get(url string) (*http.Response, string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func mustGet(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	resp, body, err := get(url)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

func TestRun_ServesDrainsAndExitsCleanly(t *testing.T) {
	var closed []string
	svc := start(t, func(s *Service) {
		s.OnStop("first", func() error { closed = append(closed, "first"); return nil })
		s.OnStop("second", func() error { closed = append(closed, "second"); return nil })
		api(http.HandlerFunc(hello))(s)
	}, WithVersion("1.2.3")).waitReady()

	resp, body := mustGet(t, svc.url("/"))
	if body != "hello" || resp.Header.Get("Gapless-Version") != "1.2.3" {
		t.Errorf("got %q from version %q", body, resp.Header.Get("Gapless-Version"))
	}
	code, report := svc.stopAndWait()
	if code != exitClean || svc.Err() != nil {
		t.Errorf("exit %d, %v", code, svc.Err())
	}
	if got := strings.Join(closed, " "); got != "second first" {
		t.Errorf("closed %q; what was registered first is closed last", got)
	}
	var phases []string
	for _, p := range report.Phases {
		phases = append(phases, string(p.Phase))
	}
	if got := strings.Join(phases, " "); got != "Starting Ready Draining Quiescing Closing Done" {
		t.Errorf("phases %q", got)
	}
	if report.Version != "1.2.3" || !strings.HasPrefix(report.Reason, "context") || len(report.Closed) != 2 {
		t.Errorf("report %+v", report)
	}
}

func TestDrain_KeepsServingNewConnectionsUntilTheDelayHasPassed(t *testing.T) {
	svc := start(t, api(http.HandlerFunc(hello))).waitReady()
	svc.cancel()
	<-svc.draining
	served, announced := 0, 0
	for began := time.Now(); time.Since(began) < 800*time.Millisecond; {
		resp, _, err := get(svc.url("/"))
		if svc.Phase() != PhaseDraining {
			break
		}
		if err != nil {
			t.Fatalf("after %d served: %v", served, err)
		}
		served++
		if resp.Close {
			announced++
		}
	}
	_, report := svc.wait()
	if served == 0 || announced == 0 || report.NewConnections < served {
		t.Errorf("served %d, announced on %d, reported %d", served, announced, report.NewConnections)
	}
	if report.LastNewConnectionMs == nil || *report.LastNewConnectionMs <= 0 {
		t.Errorf("age of the last new connection: %v", report.LastNewConnectionMs)
	}
}

func TestDrain_ASecondWithoutNewConnectionsEndsIt_HealthChecksDoNotCount(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", hello)
	mux.HandleFunc("/ready", Readyz)
	svc := start(t, api(mux)).waitReady()
	mustGet(t, svc.url("/ready"))
	svc.cancel()
	<-svc.draining

	stop := make(chan struct{})
	var polling sync.WaitGroup
	polling.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				_, _, _ = get(svc.url("/ready"))
			}
		}
	})
	_, report := svc.wait()
	close(stop)
	polling.Wait()
	if report.NewConnections != 0 {
		t.Errorf("%d health checks were taken for traffic", report.NewConnections)
	}
	if report.Requests == 0 {
		t.Error("the health checks were not even seen")
	}
}

func TestQuiesce_RequestsInFlightAreAnsweredInFull(t *testing.T) {
	const lines = 20
	svc := start(t, api(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range lines {
			fmt.Fprintln(w, i)
			w.(http.Flusher).Flush()
			time.Sleep(100 * time.Millisecond) // 2 s: well past the drain
		}
	}))).waitReady()

	answer := make(chan string, 1)
	go func() {
		_, body, err := get(svc.url("/"))
		if err != nil {
			body = err.Error()
		}
		answer <- body
	}()
	for svc.inFlight.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	code, report := svc.stopAndWait()
	if got := strings.Count(<-answer, "\n"); got != lines || code != exitClean {
		t.Errorf("%d of %d lines, exit %d, report %+v", got, lines, code, report)
	}
}

func TestQuiesce_WhatDoesNotEndIsCutCountedAndToldBefore(t *testing.T) {
	ended := make(chan error, 1)
	release := make(chan struct{})
	defer close(release)
	svc := start(t, api(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
		<-release // does not heed it
	}))).waitReady()

	go get(svc.url("/"))
	for svc.inFlight.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	code := 0
	var report Report
	done := make(chan struct{})
	go func() { defer close(done); code, report = svc.stopAndWait() }()
	<-done
	<-ended
	if code != exitCut || report.Exit != exitCut || report.Cut.Requests != 1 {
		t.Errorf("exit %d, cut %+v", code, report.Cut)
	}
}

func TestStop_BeforeReadySkipsTheDrain(t *testing.T) {
	svc := start(t, func(s *Service) {
		s.ReadyWhen("model", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		api(http.HandlerFunc(hello))(s)
	}, WithBudget(DefaultBudget()))
	for svc.Phase() != PhaseStarting {
		time.Sleep(time.Millisecond)
	}
	code, report := svc.stopAndWait()
	for _, p := range report.Phases {
		if p.Phase == PhaseDraining || p.Phase == PhaseReady {
			t.Errorf("went through %s", p.Phase)
		}
	}
	if code != exitClean {
		t.Errorf("exit %d", code)
	}
}

func TestReadyWhen_NothingListensUntilAllConditionsAreMet(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ready")
	t.Setenv("GAPLESS_READY_FILE", file)
	load := make(chan struct{})
	var tries atomic.Int32
	svc := start(t, func(s *Service) {
		s.Health("127.0.0.1:0")
		s.ReadyWhen("model", func(context.Context) error { <-load; return nil })
		s.ReadyWhen("license", func(context.Context) error {
			if tries.Add(1) == 1 {
				return fmt.Errorf("not yet")
			}
			return nil
		})
		api(http.HandlerFunc(hello))(s)
	})
	health := svc.health(t)
	if resp, _ := mustGet(t, health+"/livez"); resp.StatusCode != 200 {
		t.Errorf("livez %d while starting", resp.StatusCode)
	}
	if resp, body := mustGet(t, health+"/readyz"); resp.StatusCode != 503 || !strings.Contains(body, "starting") {
		t.Errorf("readyz %d %q", resp.StatusCode, body)
	}
	if resp, body := mustGet(t, health+"/startupz"); resp.StatusCode != 503 || !strings.Contains(body, "model") {
		t.Errorf("startupz %d %q", resp.StatusCode, body)
	}
	if svc.Addrs()["api"] != nil {
		t.Error("listens before it is ready")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("ready file exists")
	}
	close(load)
	svc.waitReady()
	for _, path := range []string{"/readyz", "/startupz", "/livez"} {
		if resp, _ := mustGet(t, health+path); resp.StatusCode != 200 {
			t.Errorf("%s %d when ready", path, resp.StatusCode)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	svc.cancel()
	<-svc.draining
	if resp, _ := mustGet(t, health+"/readyz"); resp.StatusCode != 503 {
		t.Errorf("readyz %d while draining", resp.StatusCode)
	}
	if resp, _ := mustGet(t, health+"/livez"); resp.StatusCode != 200 {
		t.Errorf("livez %d while draining", resp.StatusCode)
	}
	svc.wait()
	if _, err := os.Stat(file); err == nil {
		t.Error("ready file survived")
	}
}

// health is the address of the health listener, waited for.
func (r *running) health(t *testing.T) string {
	t.Helper()
	for range 1000 {
		if addr := r.Addrs()["health"]; addr != nil {
			return "http://" + addr.String()
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no health listener")
	return ""
}

func TestReadiness_ServeTerminatingStaysReadyWhileServing(t *testing.T) {
	svc := start(t, func(s *Service) {
		s.Health("127.0.0.1:0")
		api(http.HandlerFunc(hello))(s)
	}, WithReadiness(ServeTerminating)).waitReady()
	svc.cancel()
	<-svc.draining
	if resp, _ := mustGet(t, svc.health(t)+"/readyz"); resp.StatusCode != 200 {
		t.Errorf("readyz %d while draining", resp.StatusCode)
	}
}

func TestHealth_NothingStopsTheServiceUnlessAskedFor(t *testing.T) {
	svc := start(t, func(s *Service) { s.Health("127.0.0.1:0") }).waitReady()
	if resp, _ := mustGet(t, svc.health(t)+"/drain"); resp.StatusCode != 404 {
		t.Errorf("/drain answers %d", resp.StatusCode)
	}
	if svc.Phase() != PhaseReady {
		t.Errorf("phase %s", svc.Phase())
	}
}

func TestHealth_DrainEndpointDrainsWhenAskedFor(t *testing.T) {
	svc := start(t, func(s *Service) { s.Health("127.0.0.1:0") }, WithDrainEndpoint()).waitReady()
	if resp, _ := mustGet(t, svc.health(t)+"/drain"); resp.StatusCode != 202 {
		t.Errorf("/drain answers %d", resp.StatusCode)
	}
	if code, report := svc.wait(); code != exitClean || report.Reason != "/drain" {
		t.Errorf("exit %d, reason %q", code, report.Reason)
	}
}

func TestGo_WorkersStopFetchingAtTheDrainAndFinishTheirItem(t *testing.T) {
	var items atomic.Int32
	finished := false
	svc := start(t, func(s *Service) {
		s.Go("consumer", func(ctx context.Context) error {
			for ctx.Err() == nil {
				items.Add(1)
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(1500 * time.Millisecond) // the current item takes longer than the drain
			finished = true
			return ctx.Err()
		})
	}).waitReady()
	for items.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	code, report := svc.stopAndWait()
	if code != exitClean || !finished || len(report.Cut.Tasks) != 0 {
		t.Errorf("exit %d, finished %v, cut %+v", code, finished, report.Cut)
	}
}

func TestGo_AFailureStopsTheServiceWithOne(t *testing.T) {
	svc := start(t, func(s *Service) {
		s.Go("consumer", func(context.Context) error { return fmt.Errorf("queue is gone") })
	})
	code, report := svc.wait()
	if code != exitFailed || !strings.Contains(report.Failure, "worker consumer: queue is gone") {
		t.Errorf("exit %d, failure %q", code, report.Failure)
	}
}

func TestRun_APortThatIsTakenIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	svc := start(t, func(s *Service) { s.HTTP("api", &http.Server{Addr: ln.Addr().String()}) })
	code, report := svc.wait()
	if code != exitFailed || !strings.Contains(report.Failure, "listen for api: listen tcp "+ln.Addr().String()) {
		t.Errorf("exit %d, failure %q", code, report.Failure)
	}
}

func TestOnStop_AHookThatHangsLeavesTimeForTheOthers(t *testing.T) {
	closed := false
	release := make(chan struct{})
	defer close(release)
	svc := start(t, func(s *Service) {
		s.OnStop("db", func() error { closed = true; return nil })
		s.OnStop("hangs", func() error { <-release; return nil })
	})
	code, report := svc.waitReady().stopAndWait()
	if !closed || len(report.Closed) != 2 || !strings.Contains(report.Closed[0].Error, "no answer in time") {
		t.Errorf("exit %d, closed %v, %+v", code, closed, report.Closed)
	}
}

func TestTrack_HijackedWorkIsWaitedForAndHearsTheDrain(t *testing.T) {
	svc := start(t, api(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		ctx, done := Track(r.Context())
		go func() {
			defer done()
			defer c.Close()
			fmt.Fprint(buf, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n")
			buf.Flush()
			<-Draining(ctx)
			if deadline, ok := Deadline(ctx); !ok || time.Until(deadline) > 5*time.Second {
				t.Errorf("deadline %v %v", deadline, ok)
			}
			time.Sleep(1500 * time.Millisecond) // past the drain
			fmt.Fprint(buf, "goodbye\n")
			buf.Flush()
		}()
	}))).waitReady()

	c, err := net.Dial("tcp", svc.Addrs()["api"].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n")
	from := bufio.NewReader(c)
	if _, err := http.ReadResponse(from, nil); err != nil {
		t.Fatal(err)
	}
	svc.cancel()
	word, err := from.ReadString('\n')
	if word != "goodbye\n" {
		t.Errorf("got %q, %v", word, err)
	}
	if code, report := svc.wait(); code != exitClean || report.Cut.any() {
		t.Errorf("exit %d, cut %+v", code, report.Cut)
	}
}
