package kit

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

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

// The hook of another container asks, while a request is in flight that needs that container.
func TestDrainEndpoint_WithWaitAnswersWhenNothingIsInFlight(t *testing.T) {
	release := make(chan struct{})
	svc := start(t, func(s *Service) {
		s.Health("127.0.0.1:0")
		api(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))(s)
	}, WithDrainEndpoint()).waitReady()
	answered := make(chan error, 1)
	go func() {
		_, _, err := get(svc.url("/"))
		answered <- err
	}()
	for svc.inFlight.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	waited := make(chan string, 1)
	go func() {
		_, body, err := get(svc.health(t) + "/drain?wait")
		if err != nil {
			body = err.Error()
		}
		waited <- body
	}()
	for svc.Phase() != PhaseQuiescing {
		time.Sleep(time.Millisecond)
	}
	select {
	case early := <-waited:
		t.Errorf("answered %q with a request in flight", early)
	default:
	}
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if got := <-waited; got != "drained\n" {
		t.Errorf("/drain?wait answered %q", got)
	}
	if code, _ := svc.wait(); code != exitClean {
		t.Errorf("exit %d", code)
	}
}
