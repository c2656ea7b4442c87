package proxy

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A shadow is the copy of a request that is sent to another version as well. Its answer is dropped; only its status and
// latency are compared with the real ones.
type shadow struct {
	on       *Instance
	line     *Line
	realIs   atomic.Int64 // status of the real answer once it is there
	mirrorIs atomic.Int64
}

// shadowLimit bounds a mirrored request. Nobody waits for it.
const shadowLimit = 10 * time.Second

// mirror starts a copy where one is due: never of a request that may change something, never of one with a body, and never
// when too many are on their way. The real request waits for none of it.
func (x *exchange) mirror(r *http.Request) {
	now := x.app.now.Load()
	if len(now.mirror) == 0 || x.preview || !mirrorable(r) {
		return
	}
	if now.mirror[x.app.shadow.Add(1)%uint64(len(now.mirror))] == 0 {
		return
	}
	on := x.app.least(now.to.in, nil)
	line := on.lines[x.port]
	if line == nil {
		return
	}
	select {
	case x.app.shadows <- struct{}{}:
	default:
		on.counts.mirror.skipped.Add(1)
		return
	}
	if !on.enter() {
		<-x.app.shadows
		return
	}
	x.shadow = &shadow{on: on, line: line}
	out := copyOf(r, line.addr)
	go x.shadow.send(out, x.app)
}

func mirrorable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return r.ContentLength == 0 && r.Header.Get("Upgrade") == ""
	}
	return false
}

func copyOf(r *http.Request, addr string) *http.Request {
	u := *r.URL
	u.Scheme, u.Host = "http", addr
	h := r.Header.Clone()
	for _, hop := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding"} {
		h.Del(hop)
	}
	h.Set("Gapless-Mirror", "true")
	return &http.Request{Method: r.Method, URL: &u, Host: r.Host, Header: h, ProtoMajor: 1, ProtoMinor: 1}
}

func (s *shadow) send(r *http.Request, a *App) {
	defer func() { <-a.shadows }()
	defer s.on.leave()
	ctx, cancel := context.WithTimeout(s.on.shadowContext(), shadowLimit)
	defer cancel()
	c := &s.on.counts.mirror
	c.sent.Add(1)
	started := time.Now()
	res, err := s.line.http1.RoundTrip(r.WithContext(ctx))
	if err != nil {
		c.errors.Add(1)
		return
	}
	defer res.Body.Close()
	c.latency.Add(int64(time.Since(started)))
	if res.StatusCode >= 500 {
		c.status5xx.Add(1)
	}
	s.mirrorIs.Store(int64(res.StatusCode))
	s.compare()
	_, _ = io.CopyN(io.Discard, res.Body, 16<<20)
}

// real notes the status of the real answer. A nil shadow is a request without one.
func (s *shadow) real(status int, since time.Time) {
	if s == nil {
		return
	}
	s.on.counts.mirror.real.Add(int64(time.Since(since)))
	s.realIs.Store(int64(status))
	s.compare()
}

// compare is called by both sides; the one that comes second sees both. Should both see both, the swap lets only one count.
func (s *shadow) compare() {
	mirrored, real := s.mirrorIs.Load(), s.realIs.Load()
	if mirrored != 0 && real != 0 && mirrored != real && s.realIs.CompareAndSwap(real, mirrored) {
		s.on.counts.mirror.differ.Add(1)
	}
}
