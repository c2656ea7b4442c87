package kit

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStatusz_ShowsEveryDurationAndWhatIsWaitedFor(t *testing.T) {
	load, loading := make(chan struct{}), make(chan struct{})
	svc := start(t, func(s *Service) {
		s.Health("127.0.0.1:0")
		s.ReadyWhen("model", func(context.Context) error { close(loading); <-load; return nil })
		s.ReadyWhen("license", func(context.Context) error { return nil })
		api(http.HandlerFunc(hello))(s)
	}, WithVersion("3.0.0"))
	look := func() (st Status) {
		t.Helper()
		_, body := mustGet(t, svc.health(t)+"/statusz")
		if err := json.Unmarshal([]byte(body), &st); err != nil {
			t.Fatal(err)
		}
		return st
	}
	<-loading
	<-svc.gates[1].open
	if st := look(); st.Phase != PhaseStarting || st.Ready || st.Why != "starting" || !slices.Equal(st.WaitingFor, []string{"model"}) {
		t.Errorf("while it loads: %+v", st)
	}
	close(load)
	svc.waitReady()
	st := look()
	if st.WaitingFor != nil {
		t.Errorf("waits for %q when ready", st.WaitingFor)
	}
	if st.Version != "3.0.0" || st.Phase != PhaseReady || !st.Ready || st.CutAt != nil {
		t.Errorf("%+v", st)
	}
	for _, part := range []string{"grace", "prestop", "drain", "drainMax", "inFlight", "close", "margin"} {
		if _, err := time.ParseDuration(st.Budget[part]); err != nil {
			t.Errorf("budget %s: %v", part, err)
		}
	}
}

func TestReadyz_OutsideAServiceSaysSo(t *testing.T) {
	w := httptest.NewRecorder()
	Readyz(w, httptest.NewRequest("GET", "/ready", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "not served by kit") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

// A framework that runs its own server gives kit its listener and handler.
func TestListener_AFrameworksOwnServerIsDrainedToo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	framework := &http.Server{}
	served := make(chan error, 1)
	release := make(chan struct{})
	svc := start(t, func(s *Service) {
		framework.Handler = s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-Draining(r.Context())
				<-release
			}
			io.WriteString(w, "hello")
		}))
		wrapped := s.Listener(ln)
		s.OnStop("framework", framework.Close)
		go func() { served <- framework.Serve(wrapped) }()
	}).waitReady()

	url := "http://" + ln.Addr().String()
	answer := make(chan string, 1)
	go func() {
		_, body, err := get(url + "/slow")
		if err != nil {
			body = err.Error()
		}
		answer <- body
	}()
	for svc.inFlight.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	svc.cancel()
	if err := <-served; err == nil {
		t.Error("Serve ended without an error")
	}
	if _, _, err := get(url); err == nil {
		t.Error("accepts after the drain")
	}
	close(release)
	if body := <-answer; body != "hello" {
		t.Errorf("in flight: %q", body)
	}
	if code, report := svc.wait(); code != exitClean || report.Cut.any() {
		t.Errorf("exit %d, cut %+v", code, report.Cut)
	}
}

func TestReport_FitsWhereKubernetesReadsIt(t *testing.T) {
	r := Report{Reason: "SIGTERM"}
	for range 500 {
		r.Closed = append(r.Closed, ClosedHook{Name: "hook", Error: "no answer in time"})
		r.Cut.Tasks = append(r.Cut.Tasks, "consumer")
	}
	text := r.fit(maxReport)
	var back Report
	if err := json.Unmarshal(text, &back); err != nil || len(text) > maxReport || back.Reason != "SIGTERM" {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

func TestPhases_OnlyGoForward(t *testing.T) {
	for i, from := range legal {
		for _, to := range from.to {
			if to.index() <= i {
				t.Errorf("%s -> %s goes back", from.from, to)
			}
		}
	}
	s := New()
	defer func() {
		if recover() == nil {
			t.Error("Starting -> Closing was allowed")
		}
	}()
	s.enter(PhaseClosing)
}
