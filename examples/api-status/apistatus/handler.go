package apistatus

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// status is what the service says of itself, and the talk's switches.
type status struct {
	version, host string
	fail          How
	failure       Failure
	metrics       metrics
	unhealthy     atomic.Bool
	notReady      atomic.Bool
	answered      atomic.Int64
}

func newStatus(o Options) *status {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &status{version: o.Version, host: host, fail: o.Fail.How, failure: o.Fail}
}

// mux serves the switches and answers. live and ready are asked once the service's own switches say yes.
func (s *status) mux(live, ready http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.metrics.watch(s.troubled(s.hello)))
	mux.HandleFunc("/slow", s.metrics.watch(s.slow))
	mux.Handle("/metrics", &s.metrics)
	mux.HandleFunc("/count", s.count)
	mux.HandleFunc("/healthz", s.unless(&s.unhealthy, "unhealthy", live))
	mux.HandleFunc("/ready", s.unless(&s.notReady, "not ready", s.failing(ready)))
	mux.HandleFunc("/doUnHealthz", turn(&s.unhealthy, true))
	mux.HandleFunc("/doHealthz", turn(&s.unhealthy, false))
	mux.HandleFunc("/doNotReady", turn(&s.notReady, true))
	mux.HandleFunc("/doReady", turn(&s.notReady, false))
	return mux
}

// An answer is what / says, as JSON.
type answer struct {
	Service string `json:"service"`
	Version string `json:"version"`
	Host    string `json:"host"`
	Pid     int    `json:"pid"`
	Path    string `json:"path"`
}

func (s *status) hello(w http.ResponseWriter, r *http.Request) {
	s.answered.Add(1)
	if !strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "api-status %s on %s, process %d\n", s.version, s.host, os.Getpid())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer{"api-status", s.version, s.host, os.Getpid(), r.URL.Path})
}

// longestSlow keeps a mistyped /slow from outliving any patience.
const longestSlow = 5 * time.Minute

// slow answers /slow?ms=250 after 250 ms, or gives up with the client.
func (s *status) slow(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.FormValue("ms"))
	wait := time.Duration(ms) * time.Millisecond
	if err != nil || wait < 0 || wait > longestSlow {
		http.Error(w, "write /slow?ms=250, at most 300000", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(wait):
		s.hello(w, r)
	case <-r.Context().Done():
	}
}

// count tells how many times / was answered by this process.
func (s *status) count(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, s.answered.Load())
}

func (s *status) unless(off *atomic.Bool, why string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if off.Load() {
			http.Error(w, why, http.StatusInternalServerError)
			return
		}
		next(w, r)
	}
}

func (s *status) failing(next http.HandlerFunc) http.HandlerFunc {
	switch s.fail {
	case FailNeverReady:
		return func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "not ready: the model is still loading", http.StatusServiceUnavailable)
		}
	case FailReady500:
		return func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "not ready: no connection to the database", http.StatusInternalServerError)
		}
	}
	return next
}

func turn(s *atomic.Bool, to bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.Store(to)
		fmt.Fprintln(w, "ok")
	}
}
