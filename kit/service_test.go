package kit

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// short is a budget for tests in which something is cut: drain 1 s, 3 s for
// requests in flight. roomy is for those in which nothing may be, however busy
// the machine.
var (
	short = Budget{Grace: 5 * time.Second, Drain: time.Second, Close: time.Second}
	roomy = Budget{Grace: time.Minute, Drain: time.Second, Close: time.Second}
)

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

func TestServe_AServerThatEndsByItselfIsAFailure(t *testing.T) {
	srv := &http.Server{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(hello)}
	svc := start(t, func(s *Service) { s.HTTP("api", srv) }).waitReady()
	srv.Close()
	code, report := svc.wait()
	if code != exitFailed || !strings.Contains(report.Failure, "serve api") {
		t.Errorf("exit %d, failure %q", code, report.Failure)
	}
}

func TestRun_ASecondTimeIsRefused(t *testing.T) {
	svc := start(t, api(http.HandlerFunc(hello))).waitReady()
	svc.stopAndWait()
	if code := svc.Run(t.Context()); code != exitFailed {
		t.Errorf("exit %d", code)
	}
}

// Somebody at a terminal does not want to wait.
func TestRun_ASecondSIGINTEndsItAtOnce(t *testing.T) {
	mine := make(chan os.Signal, 2) // a signal that comes too late for the service is not to end the test
	signal.Notify(mine, os.Interrupt)
	defer signal.Stop(mine)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	interrupt := func() {
		t.Helper()
		if err := self.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	release := make(chan struct{})
	svc := start(t, api(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })), WithBudget(roomy)).waitReady()
	answered := make(chan error, 1)
	go func() {
		_, _, err := get(svc.url("/"))
		answered <- err
	}()
	for svc.inFlight.Load() == 0 {
		time.Sleep(time.Millisecond)
	}

	interrupt()
	<-svc.draining
	interrupt()
	code := <-svc.code
	svc.code <- code
	if code != exitInterrupted || exitInterrupted != 130 {
		t.Errorf("exit %d, want 130", code)
	}
	select {
	case <-svc.quiet:
		t.Error("it waited for what is in flight")
	default:
	}
	// The process would end here; in the test the rest of its life goes on beside it.
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	<-svc.base.Done()
	if svc.reason != "SIGINT" {
		t.Errorf("reason %q", svc.reason)
	}
}
