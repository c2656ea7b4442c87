package proxy

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// A Line carries requests to one address, each once: the plain case over a wire, gRPC over HTTP/2, where only that will do, and the
// rest as net/http does. NewLine makes one.
type Line struct {
	addr  string
	wires wires
	http1 http.Transport
	fresh http.Transport // a connection for each request
	h2c   http.Transport

	// OnlyHTTP2 sends every request over HTTP/2 without TLS, for a service that speaks nothing else.
	OnlyHTTP2 bool
	// Careful sends what may not be repeated on a connection of its own. A kept one can be closed by the service in the moment in
	// which the request is written, and then nobody knows whether it was carried out.
	Careful bool
	// Fresh sends every request on a connection of its own, to a service that serves one connection at a time.
	Fresh bool
}

// idleUpstream is below the 5 s after which common servers (Node, uvicorn) close a connection that nobody uses. The side that
// closes first decides whether a request can cross with the close.
const idleUpstream = 4 * time.Second

// NewLine is a line to host:port. An answer has to begin within the timeout; 0 waits for ever.
func NewLine(addr string, timeout time.Duration) *Line {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	l := &Line{addr: addr}
	l.wires.dial, l.wires.timeout = dialer.DialContext, timeout
	l.http1 = http.Transport{
		DialContext:           dialer.DialContext,
		DisableCompression:    true,
		MaxIdleConnsPerHost:   1024,
		IdleConnTimeout:       idleUpstream,
		ResponseHeaderTimeout: timeout,
		ExpectContinueTimeout: time.Second,
	}
	l.fresh = http.Transport{
		DialContext:           dialer.DialContext,
		DisableCompression:    true,
		DisableKeepAlives:     true,
		ResponseHeaderTimeout: timeout,
		ExpectContinueTimeout: time.Second,
	}
	l.h2c = http.Transport{
		DialContext:        dialer.DialContext,
		DisableCompression: true,
		IdleConnTimeout:    idleUpstream,
		Protocols:          new(http.Protocols),
	}
	l.h2c.Protocols.SetUnencryptedHTTP2(true)
	return l
}

// RoundTrip sends r to the line's address, whatever its URL says. It tries again only where that is safe.
func (l *Line) RoundTrip(r *http.Request) (*http.Response, error) {
	whole := r.Body == nil || r.Body == http.NoBody
	if !whole && small(r) {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, err
		}
		whole = true
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.Header.Del("Expect") // the client was told to continue when its body was read
	}
	return l.send(r, whole, isGRPC(r))
}

// send carries a request whose body, if whole, is in hand.
func (l *Line) send(r *http.Request, whole, grpc bool) (*http.Response, error) {
	r.URL.Host = l.addr
	if !whole && r.ContentLength > 0 {
		r.Body = &counted{r.Body, r.ContentLength}
	}
	switch {
	case grpc || l.OnlyHTTP2:
		return l.h2c.RoundTrip(r)
	case l.Fresh:
		return l.fresh.RoundTrip(r)
	case whole && r.Header["Upgrade"] == nil && r.Header["Expect"] == nil:
		return l.wires.roundTrip(r, l.addr, l.Careful)
	case l.Careful && !repeatable(r):
		return l.fresh.RoundTrip(r)
	}
	return l.http1.RoundTrip(r)
}

// counted is a body that ends by its length. A transport reads once more after the last byte; by then the answer may be on its way, and
// the server that the body came in by may have closed it. The transport would take that for a failure and cut the answer off.
type counted struct {
	io.ReadCloser
	left int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.EOF
	}
	n, err := c.ReadCloser.Read(p)
	c.left -= int64(n)
	return n, err
}

// Close ends the idle connections, and the others as soon as they are.
func (l *Line) Close() {
	l.wires.close()
	l.http1.CloseIdleConnections()
	l.h2c.CloseIdleConnections()
}

// smallBody is how much of a body is read before an instance is chosen. Such a body can be sent again when a kept connection
// turns out to be closed before anything was written, and a slow upload keeps no instance busy.
const smallBody = 64 << 10

// small tells that the body is to be read whole first.
func small(r *http.Request) bool { return r.ContentLength > 0 && r.ContentLength <= smallBody }

func isGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}
