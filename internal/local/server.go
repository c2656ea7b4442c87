package local

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// A unixSocket is where commands are answered. Its rights are its owner's only.
type unixSocket struct {
	net.Listener
	path string
}

// listenSocket takes the place of a socket that a dead Gapless has left, and not of one at which somebody answers.
func listenSocket(path string) (*unixSocket, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, errorf(Refused, "socket: %v", err)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, errorf(Refused, "another gapless answers at %s: give it orders with gapless deploy, stop it first, or take another socket with --socket or GAPLESS_SOCKET", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
			_ = os.Remove(path)
		}
	}
	l, err := ownersOnly.Listen(context.Background(), "unix", path)
	if err == nil {
		if err = os.Chmod(path, 0o600); err != nil { // where the system did not heed the rights of the socket itself
			l.Close()
		}
	}
	if err != nil {
		return nil, errorf(Refused, "socket: cannot listen at %s: %v: choose another path", path, err)
	}
	return &unixSocket{l, path}, nil
}

// ownersOnly gives a socket its rights before it has a name: on Linux there is no moment in which others could connect. A umask would
// do so too, but it is the whole process's.
var ownersOnly = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
}}

type peerKey struct{}

// answer begins to answer commands, and returns what ends it.
func (m *machine) answer(l *unixSocket) (stop func()) {
	open, closeOpen := context.WithCancel(context.Background())
	server := &http.Server{
		Handler:     m.api(),
		ErrorLog:    log.New(io.Discard, "", 0),
		BaseContext: func(net.Listener) context.Context { return open },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, peer(conn))
		},
	}
	go func() { _ = server.Serve(l) }()
	return func() {
		closeOpen() // watches end
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
	}
}

func (m *machine) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/ping", reply(func(*http.Request) (any, error) { return m.ping(), nil }))
	mux.HandleFunc("GET /v1/apps", reply(func(*http.Request) (any, error) {
		all := []Report{}
		for _, s := range m.services {
			all = append(all, s.status())
		}
		return all, nil
	}))
	mux.HandleFunc("GET /v1/watch", m.watch)
	mux.HandleFunc("GET /v1/apps/{app}", m.of(func(s *service, _ *http.Request) (any, error) { return s.status(), nil }))
	mux.HandleFunc("GET /v1/apps/{app}/revisions", m.of(func(s *service, _ *http.Request) (any, error) { return s.history() }))
	mux.HandleFunc("GET /v1/apps/{app}/revisions/{n}", m.of(func(s *service, r *http.Request) (any, error) {
		n, err := strconv.Atoi(r.PathValue("n"))
		if err != nil || n < 0 {
			return nil, errorf(Bad, "%q is no revision: give a number, or 0 for the newest", r.PathValue("n"))
		}
		return s.revision(n)
	}))
	mux.HandleFunc("GET /v1/apps/{app}/plan", m.of(func(s *service, r *http.Request) (any, error) {
		return s.preview(rollout.Version(r.URL.Query().Get("version")))
	}))
	mux.HandleFunc("PUT /v1/apps/{app}/version", m.of(func(s *service, r *http.Request) (any, error) {
		var in deployBody
		if err := body(r, &in); err != nil {
			return nil, err
		}
		return s.deploy(r.Context(), in.Version, in.Origin, who(r))
	}))
	mux.HandleFunc("PUT /v1/apps/{app}/replicas", m.of(func(s *service, r *http.Request) (any, error) {
		var in scaleBody
		if err := body(r, &in); err != nil {
			return nil, err
		}
		return s.scaleTo(r.Context(), in.Replicas, who(r))
	}))
	mux.HandleFunc("POST /v1/apps/{app}/orders", m.of(func(s *service, r *http.Request) (any, error) {
		var in orderBody
		if err := body(r, &in); err != nil {
			return nil, err
		}
		return s.order(r.Context(), in.Verb, who(r))
	}))
	return mux
}

func who(r *http.Request) string {
	name, _ := r.Context().Value(peerKey{}).(string)
	return name
}

func body(r *http.Request, into any) error {
	dec := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return errorf(Bad, "the body is not what %s takes: %v", r.URL.Path, err)
	}
	return nil
}

// of finds the app that a request speaks of.
func (m *machine) of(f func(*service, *http.Request) (any, error)) http.HandlerFunc {
	return reply(func(r *http.Request) (any, error) {
		s := m.service(r.PathValue("app"))
		if s == nil {
			return nil, m.unknown(r.PathValue("app"))
		}
		return f(s, r)
	})
}

func (m *machine) unknown(name string) error {
	return errorf(NotFound, "there is no app %q here; there are: %s", name, strings.Join(m.names(), ", "))
}

func (m *machine) names() []string {
	var all []string
	for _, s := range m.services {
		all = append(all, s.app.Name)
	}
	return all
}

func reply(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := f(r)
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				e = &Error{Code: Internal, Message: err.Error()}
			}
			w.WriteHeader(statusOf(e.Code))
			value = e
		}
		_ = json.NewEncoder(w).Encode(value)
	}
}

func statusOf(c Code) int {
	switch c {
	case NotFound:
		return http.StatusNotFound
	case Bad:
		return http.StatusBadRequest
	case Refused:
		return http.StatusUnprocessableEntity
	case Conflict:
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}

func (m *machine) ping() Ping {
	p := Ping{
		Version: m.o.Version, Pid: os.Getpid(), Since: m.since, File: m.o.FileName, StateDir: m.state,
		Apps: m.names(), Ports: []OpenPort{},
	}
	for _, o := range m.proxy.Ports() {
		p.Ports = append(p.Ports, OpenPort{App: o.App, Name: o.Name, Address: o.Address, TLS: o.TLS})
	}
	return p
}

// watch writes a status whenever something happened, and each second for the counts.
func (m *machine) watch(w http.ResponseWriter, r *http.Request) {
	watched := m.services
	if name := r.URL.Query().Get("app"); name != "" {
		s := m.service(name)
		if s == nil {
			reply(func(*http.Request) (any, error) { return nil, m.unknown(name) })(w, r)
			return
		}
		watched = []*service{s}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	events := make(chan *service, len(watched))
	for _, s := range watched {
		go s.events(r.Context(), events)
	}
	every := time.NewTimer(0)
	defer every.Stop()
	for {
		due := watched
		select {
		case <-r.Context().Done():
			return
		case s := <-events:
			due = []*service{s}
		case <-every.C:
			every.Reset(time.Second)
		}
		for _, s := range due {
			if out.Encode(s.status()) != nil {
				return
			}
		}
		if flush.Flush() != nil {
			return
		}
	}
}

// events tells that something happened to the service; what happens while nobody listens is one event.
func (s *service) events(ctx context.Context, to chan<- *service) {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		select {
		case to <- s:
		case <-ctx.Done():
			return
		}
	}
}

var verbs = []rollout.Verb{
	rollout.Promote, rollout.PromoteFull, rollout.Abort, rollout.Undo, rollout.Pause, rollout.Resume, rollout.Retry,
}

func known(v rollout.Verb) bool { return slices.Contains(verbs, v) }
