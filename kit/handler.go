package kit

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// handler is between the server and the app's own handler. In phase Ready it
// adds two atomic additions, a load, and the version header if there is one.
type handler struct {
	s    *Service
	next http.Handler
}

// versionHeader is in canonical form, so it can be set without asking.
const versionHeader = "Gapless-Version"

// leave is the value of Connection on a last response, shared by all.
var leave = []string{"close"}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.s.inFlight.Add(1)
	defer h.s.inFlight.Add(-1)
	if h.s.stamp != nil {
		w.Header()[versionHeader] = h.s.stamp
	}
	if h.s.leaving.Load() {
		h.s.sayGoodbye(w, r)
	}
	h.next.ServeHTTP(w, r)
}

// sayGoodbye asks the client to go elsewhere with its next request: HTTP/1 by
// the header, HTTP/2 by the GOAWAY that net/http makes of it. An upgrade uses
// the header for itself.
func (s *Service) sayGoodbye(w http.ResponseWriter, r *http.Request) {
	elapsed := s.traffic.noteRequest(s, r)
	if r.Header.Get("Upgrade") == "" && rand.Float64() < s.split.closeShare(elapsed) {
		w.Header()["Connection"] = leave
	}
}

// Handler is h with what a request needs, for servers that are not given to
// HTTP or Serve: version header, counting, goodbye, and a context for Draining,
// Deadline and Track. Not needed for handlers of an *http.Server that is.
func (s *Service) Handler(h http.Handler) http.Handler {
	inner := &handler{s, h}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if serviceOf(r.Context()) == nil {
			r = r.WithContext(context.WithValue(r.Context(), serviceKey{}, s))
		}
		inner.ServeHTTP(w, r)
	})
}

// attach puts the service around a server's handler and hooks, once per
// server, so that a request finds the service in its context for free.
func (s *Service) attach(srv *http.Server) {
	next := srv.Handler
	if next == nil {
		next = http.DefaultServeMux
	}
	srv.Handler = &handler{s, next}

	srv.BaseContext = s.baseContext(srv.BaseContext)
	theirs, told := srv.ConnContext, srv.ConnState
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if t := trackOf(c); t != nil {
			ctx = context.WithValue(ctx, trackKey{}, t)
		}
		if theirs != nil {
			ctx = theirs(ctx, c)
		}
		return ctx
	}
	srv.ConnState = connState
	if told != nil {
		srv.ConnState = func(c net.Conn, state http.ConnState) {
			connState(c, state)
			told(c, state)
		}
	}
}

type trackKey struct{}

// baseContext joins the service's context to the server's own, if it has one.
func (s *Service) baseContext(theirs func(net.Listener) context.Context) func(net.Listener) context.Context {
	if theirs == nil {
		return func(net.Listener) context.Context { return s.base }
	}
	return func(ln net.Listener) context.Context {
		ctx, cancel := context.WithCancel(context.WithValue(theirs(ln), serviceKey{}, s))
		context.AfterFunc(s.base, cancel)
		return ctx
	}
}

// noteRequest counts a request that came after the stop, and the connection
// it came on if that is new. It returns the time since the stop.
func (c *traffic) noteRequest(s *Service, r *http.Request) time.Duration {
	s.mu.Lock()
	stopped := s.stopped
	s.mu.Unlock()

	c.mu.Lock()
	c.requests++
	c.inFlightMax = max(c.inFlightMax, s.inFlight.Load())
	c.mu.Unlock()
	t, ok := r.Context().Value(trackKey{}).(*track)
	if ok && !s.isProbe(r) {
		c.newConn(t)
	}
	return time.Since(stopped)
}
