package kit

import (
	"encoding/json"
	"log/slog"
	"os"
	"time"
)

// Report is the evidence of one stop: what came while the service drained,
// what it cost and whether anything was cut.
type Report struct {
	Version string            `json:"version,omitempty"`
	Reason  string            `json:"reason"`
	Failure string            `json:"failure,omitempty"`
	Exit    int               `json:"exit"`
	Budget  map[string]string `json:"budget"`
	Phases  []PhaseTime       `json:"phases"`
	// Requests that came after the stop, and how many were being answered at
	// the same time at most.
	Requests    int   `json:"requests"`
	InFlightMax int64 `json:"inFlightMax"`
	// NewConnections came after the stop. LastNewConnectionMs is how long
	// after it the last of them came: the drain that is needed here, less one
	// second. Absent when there was none.
	NewConnections      int    `json:"newConnections"`
	LastNewConnectionMs *int64 `json:"lastNewConnectionMs,omitempty"`
	// Rescued connections stood in the accept queue when the door was closed.
	Rescued int          `json:"rescued"`
	Cut     Cut          `json:"cut"`
	Closed  []ClosedHook `json:"closed,omitempty"`
}

// PhaseTime is a phase that was entered, in milliseconds after the stop
// (negative before it).
type PhaseTime struct {
	Phase Phase `json:"phase"`
	AtMs  int64 `json:"atMs"`
}

// ClosedHook is an OnStop hook that ran.
type ClosedHook struct {
	Name   string `json:"name"`
	TookMs int64  `json:"tookMs"`
	Error  string `json:"error,omitempty"`
}

// terminationLog is where Kubernetes reads a container's last words.
const terminationLog = "/dev/termination-log"

// maxReport is how much of them it reads.
const maxReport = 4096

func (s *Service) report(cut Cut, closed []ClosedHook) Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Report{
		Version: s.version, Reason: s.reason, Budget: s.budget.words(s.split), Cut: cut, Closed: closed,
	}
	for _, e := range s.entered {
		r.Phases = append(r.Phases, PhaseTime{e.phase, e.at.Sub(s.stopped).Milliseconds()})
	}
	r.Phases = append(r.Phases, PhaseTime{PhaseDone, time.Since(s.stopped).Milliseconds()})

	s.traffic.mu.Lock()
	r.Requests, r.InFlightMax, r.NewConnections = s.traffic.requests, s.traffic.inFlightMax, s.traffic.newConns
	if !s.traffic.lastNew.IsZero() {
		age := s.traffic.lastNew.Sub(s.stopped).Milliseconds()
		r.LastNewConnectionMs = &age
	}
	s.traffic.mu.Unlock()
	for _, l := range s.listeners {
		l.mu.Lock()
		r.Rescued += l.saved
		l.mu.Unlock()
	}
	switch {
	case s.failure != nil:
		r.Failure, r.Exit = s.failure.Error(), exitFailed
	case cut.any():
		r.Exit = exitCut
	}
	return r
}

// writeReport writes to the file that was named, else to where Kubernetes
// looks, else to the log.
func (s *Service) writeReport(r Report) {
	text := r.fit(maxReport)
	path := s.reportPath
	if path == "" {
		path = terminationLog
	}
	err := writeExisting(path, text, s.reportPath != "")
	if err == nil {
		s.log.Info("done", "service", s.name(), "exit", r.Exit, "report", path)
		return
	}
	if s.reportPath != "" {
		s.log.Error("drain report", "error", err)
	}
	s.log.Info("done", slog.String("service", s.name()), slog.Int("exit", r.Exit), slog.String("report", string(text)))
}

// writeExisting writes the file; unless it may be created, only where there is
// one already.
func writeExisting(path string, text []byte, create bool) error {
	flags := os.O_WRONLY | os.O_TRUNC
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// fit is the report as JSON in at most limit bytes; lists are shortened first.
func (r Report) fit(limit int) []byte {
	for {
		text, err := json.Marshal(r)
		if err == nil && len(text) <= limit {
			return text
		}
		switch {
		case len(r.Closed) > 0:
			r.Closed = r.Closed[:len(r.Closed)/2]
		case len(r.Cut.Tasks) > 1:
			r.Cut.Tasks = r.Cut.Tasks[:len(r.Cut.Tasks)/2]
		case len(r.Cut.Servers) > 1:
			r.Cut.Servers = r.Cut.Servers[:len(r.Cut.Servers)/2]
		default:
			return []byte(`{"reason":"the report is too long"}`)
		}
	}
}
