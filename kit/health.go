package kit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Livez answers 200 as long as the process can answer at all, whatever its
// dependencies do. Mount it on the service's own mux where there is no health
// listener:
//
//	mux.HandleFunc("/healthz", kit.Livez)
func Livez(w http.ResponseWriter, r *http.Request) { answerBy(w, r, (*Service).livez) }

// Readyz answers 200 while traffic should come here and 503 otherwise, with
// the reason as text. While draining it answers as [WithReadiness] declared.
func Readyz(w http.ResponseWriter, r *http.Request) { answerBy(w, r, (*Service).readyz) }

// Startupz answers 503 until every ReadyWhen condition has been met, and 200
// ever after.
func Startupz(w http.ResponseWriter, r *http.Request) { answerBy(w, r, (*Service).startupz) }

// Statusz answers with all that the service knows of itself, as JSON.
func Statusz(w http.ResponseWriter, r *http.Request) { answerBy(w, r, (*Service).statusz) }

// answerBy finds the service that the request came to.
func answerBy(w http.ResponseWriter, r *http.Request, answer func(*Service, http.ResponseWriter, *http.Request)) {
	s := serviceOf(r.Context())
	if s == nil {
		http.Error(w, "not served by kit", http.StatusServiceUnavailable)
		return
	}
	s.probed.add(r.URL.Path)
	answer(s, w, r)
}

func (s *Service) livez(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") }

func (s *Service) readyz(w http.ResponseWriter, _ *http.Request) {
	ready, why := s.isReady()
	if !ready {
		http.Error(w, "not ready: "+why, http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ok\n")
	if names := s.degraded(); len(names) > 0 {
		fmt.Fprintf(w, "degraded: %s\n", strings.Join(names, ", "))
	}
}

func (s *Service) startupz(w http.ResponseWriter, _ *http.Request) {
	if !closed(s.ready) {
		http.Error(w, "starting: waiting for "+strings.Join(s.waitingFor(), ", "), http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ok\n")
}

// serveHealth starts the health listener, if there is to be one.
func (s *Service) serveHealth() (*http.Server, error) {
	if s.healthAddr == "" {
		return nil, nil
	}
	ln, err := net.Listen("tcp", s.healthAddr)
	if err != nil {
		return nil, fmt.Errorf("listen for health: %w", err)
	}
	s.mu.Lock()
	s.healthAt = ln.Addr()
	s.mu.Unlock()

	mux := http.NewServeMux()
	mux.HandleFunc("/livez", s.livez)
	mux.HandleFunc("/readyz", s.readyz)
	mux.HandleFunc("/startupz", s.startupz)
	mux.HandleFunc("/statusz", s.statusz)
	if s.drainEndpoint {
		mux.HandleFunc("/drain", s.drainz)
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go srv.Serve(ln)
	return srv, nil
}

// closeHealth lets an answer that is being given, such as that the drain is
// over, reach who asked for it.
func closeHealth(srv *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), reserve)
	defer cancel()
	if srv.Shutdown(ctx) != nil {
		srv.Close()
	}
}

// drainz starts the drain and does not wait for it: a preStop hook that did
// would only delay the signal, which changes nothing any more. With ?wait it
// answers when nothing is in flight: for the hook of another container of the
// pod, on which the answers depend.
func (s *Service) drainz(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		http.Error(w, "GET or POST", http.StatusMethodNotAllowed)
		return
	}
	s.stop("/drain")
	if r.URL.Query().Has("wait") {
		select {
		case <-s.quiet:
			io.WriteString(w, "drained\n")
		case <-r.Context().Done():
		}
		return
	}
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, "draining\n")
}

// Status is what /statusz tells.
type Status struct {
	Version      string             `json:"version,omitempty"`
	Phase        Phase              `json:"phase"`
	Since        time.Time          `json:"since"`
	Ready        bool               `json:"ready"`
	Why          string             `json:"why,omitempty"`
	WaitingFor   []string           `json:"waitingFor,omitempty"`
	Budget       map[string]string  `json:"budget"`
	InFlight     int64              `json:"inFlight"`
	Connections  int                `json:"connections"`
	Tasks        []string           `json:"tasks,omitempty"`
	Dependencies []DependencyStatus `json:"dependencies,omitempty"`
	CutAt        *time.Time         `json:"cutAt,omitempty"`
}

// DependencyStatus is the last that is known of a dependency.
type DependencyStatus struct {
	Name     string    `json:"name"`
	Up       bool      `json:"up"`
	Required bool      `json:"required,omitempty"`
	Error    string    `json:"error,omitempty"`
	Checked  time.Time `json:"checked,omitzero"`
}

func (s *Service) statusz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	_ = out.Encode(s.status())
}

func (s *Service) status() Status {
	ready, why := s.isReady()
	s.mu.Lock()
	last := s.entered[len(s.entered)-1]
	listeners := s.listeners[:len(s.listeners):len(s.listeners)]
	s.mu.Unlock()

	st := Status{
		Version: s.version, Phase: last.phase, Since: last.at, Ready: ready, Why: why,
		WaitingFor: s.waitingFor(),
		Budget:     s.budget.words(s.split),
		InFlight:   s.inFlight.Load(),
		Tasks:      s.tasks.names(),
	}
	for _, l := range listeners {
		st.Connections += l.tally().open
	}
	for _, d := range s.deps {
		known := d.last()
		one := DependencyStatus{Name: d.name, Up: !known.down, Required: d.required, Checked: known.at}
		if known.err != nil {
			one.Error = known.err.Error()
		}
		st.Dependencies = append(st.Dependencies, one)
	}
	if at, stopping := s.cutAt(); stopping {
		st.CutAt = &at
	}
	return st
}

// words are the durations as people write them.
func (b Budget) words(split Split) map[string]string {
	return map[string]string{
		"grace": b.Grace.String(), "prestop": b.PreStop.String(), "margin": b.Margin.String(),
		"drain": split.Drain.String(), "drainMax": split.DrainMax.String(),
		"inFlight": split.InFlight.String(), "close": split.Close.String(),
	}
}
