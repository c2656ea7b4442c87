package kit

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestDrain_KeepsServingNewConnectionsUntilTheDelayHasPassed(t *testing.T) {
	svc := start(t, api(http.HandlerFunc(hello)), WithBudget(roomy)).waitReady()
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
	})), WithBudget(roomy)).waitReady()

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
