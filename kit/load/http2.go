package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// do2 makes one attempt over HTTP/2. It sends on an http.ClientConn, which knows one
// connection only and therefore cannot retry; http.Transport would, after a GOAWAY.
func (c *client) do2(shot Shot, res *Result, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()

	conn, err := c.connect2(ctx, shot)
	if err != nil {
		return err
	}
	res.Reused = conn.used.Load()
	wrote, err := c.exchange2(ctx, conn, shot, res)
	if err != nil && !wrote && res.Reused && ctx.Err() == nil {
		// The connection went away between taking a stream and writing on it: closed
		// while idle. Not a byte of the request went out.
		c.h2.replace(conn)
		if conn, err = c.open2(ctx, shot); err != nil {
			c.h2.forget()
			return err
		}
		res.Reused = false
		_, err = c.exchange2(ctx, conn, shot, res)
	}
	if shot.New {
		conn.Close()
		return err
	}
	conn.used.Store(true)
	c.h2.put(conn)
	return err
}

// exchange2 sends the request and reads its response to the end. wrote says whether any
// of it was written.
func (c *client) exchange2(ctx context.Context, conn *conn2, shot Shot, res *Result) (wrote bool, err error) {
	var seen struct {
		sync.Mutex
		wrote, answered bool
	}
	mark := func(b *bool) {
		seen.Lock()
		*b = true
		seen.Unlock()
	}
	req := c.request2(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders:         func() { mark(&seen.wrote) },
		GotFirstResponseByte: func() { mark(&seen.answered) },
	}), shot, res.ID)

	resp, err := conn.RoundTrip(req)
	if err != nil {
		seen.Lock()
		defer seen.Unlock()
		return seen.wrote, streamFailure(err, seen.answered)
	}
	defer resp.Body.Close()
	res.Status = resp.StatusCode
	body := bodies.Get().(*bytes.Buffer)
	body.Reset()
	defer bodies.Put(body)
	if err := readBody(body, resp.Body); err != nil {
		return true, streamFailure(err, true)
	}
	return true, c.judge(Answer{resp.StatusCode, resp.Header, resp.Trailer, body.Bytes()}, res)
}

// streamFailure classifies the end of a stream: RST_STREAM, GOAWAY and a lost connection
// are resets, unless the server says that it has not touched the request.
func streamFailure(err error, answered bool) *failure {
	switch {
	case isTimeout(err):
		return fail(Timeout, err)
	case !answered && isUnprocessed(err):
		return fail(Unprocessed, err)
	}
	return exchangeFailure(&cut{err}, answered)
}

// isUnprocessed goes by the text, because net/http does not export these errors.
func isUnprocessed(err error) bool {
	s := err.Error()
	return strings.Contains(s, "REFUSED_STREAM") || strings.Contains(s, "graceful shutdown GOAWAY")
}

// cut makes an error of HTTP/2 count as an end of stream; its own types are not exported.
type cut struct{ error }

func (c *cut) Unwrap() []error { return []error{c.error, io.ErrUnexpectedEOF} }

func (c *client) request2(ctx context.Context, shot Shot, id string) *http.Request {
	header := c.opts.Header.Clone()
	header.Set(IDHeader, id)
	req := &http.Request{Method: shot.Method, URL: c.url, Host: c.host, Header: header, Body: http.NoBody}
	if shot.Method == http.MethodPost {
		body := c.body(id)
		if header.Get("Content-Type") == "" {
			header.Set("Content-Type", "text/plain")
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		req.ContentLength = int64(len(body))
	}
	return req.WithContext(ctx)
}

func (c *client) connect2(ctx context.Context, shot Shot) (*conn2, error) {
	if shot.New {
		return c.open2(ctx, shot)
	}
	if conn := c.h2.take(); conn != nil {
		return conn, nil
	}
	conn, err := c.open2(ctx, shot)
	if err != nil {
		c.h2.forget()
	}
	return conn, err
}

// open2 opens a connection with one stream on it taken.
func (c *client) open2(ctx context.Context, shot Shot) (*conn2, error) {
	cc, err := c.transport2().NewClientConn(ctx, c.url.Scheme, c.addr)
	if err != nil {
		return nil, connectFailure(err)
	}
	if err := cc.Reserve(); err != nil {
		cc.Close()
		return nil, fail(ResetBefore, fmt.Errorf("new HTTP/2 connection: %w", err))
	}
	return &conn2{ClientConn: cc, pooled: !shot.New}, nil
}

func connectFailure(err error) error {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case isTimeout(err):
		return fail(ConnectTimeout, err)
	}
	// The connection stood, and the preface could not be written.
	return exchangeFailure(err, false)
}

// transport2 is only used to make connections.
func (c *client) transport2() *http.Transport {
	c.h2.once.Do(func() {
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			deadline, _ := ctx.Deadline()
			conn, err := c.dial(deadline, "h2")
			if err != nil {
				return nil, err
			}
			if tc, ok := conn.(*tls.Conn); ok && tc.ConnectionState().NegotiatedProtocol != "h2" {
				conn.Close()
				return nil, fail(TLS, errors.New("the server did not agree to HTTP/2 by ALPN"))
			}
			conn.SetDeadline(time.Time{})
			return conn, nil
		}
		c.h2.transport = &http.Transport{
			DialContext:        dial,
			DialTLSContext:     dial,
			DisableCompression: true,
			Protocols:          new(http.Protocols),
		}
		c.h2.transport.Protocols.SetHTTP2(c.secure)
		c.h2.transport.Protocols.SetUnencryptedHTTP2(!c.secure)
	})
	return c.h2.transport
}

type conn2 struct {
	*http.ClientConn
	used   atomic.Bool // carried a request before
	pooled bool        // opened for the pool and not yet in it; only its opener looks
}

// pool2 keeps HTTP/2 connections, which take turns. A connection with GOAWAY, closed, or
// without a free stream takes no further request; what is on it goes on.
type pool2 struct {
	once      sync.Once
	transport *http.Transport

	mu      sync.Mutex
	want    int
	opening int
	ready   []*conn2
	retired []*conn2 // full or going away, and perhaps still answering
	closed  bool
}

func newPool2(want int) *pool2 { return &pool2{want: want} }

// take returns a connection with one stream taken, or nil when the caller has to open one.
func (p *pool2) take() *conn2 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.ready) > 0 && len(p.ready)+p.opening >= p.want {
		conn := p.ready[0]
		p.ready = append(p.ready[:0], p.ready[1:]...)
		if conn.Reserve() == nil {
			p.ready = append(p.ready, conn)
			return conn
		}
		p.retireLocked(conn)
	}
	p.opening++
	return nil
}

// put makes a connection that the caller has opened available. For others it does nothing.
func (p *pool2) put(conn *conn2) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !conn.pooled {
		return
	}
	conn.pooled = false
	p.opening--
	if p.closed || len(p.ready) >= p.want || conn.Err() != nil {
		p.retireLocked(conn)
		return
	}
	p.ready = append(p.ready, conn)
}

func (p *pool2) forget() {
	p.mu.Lock()
	p.opening--
	p.mu.Unlock()
}

// replace takes a connection out for one that the caller is about to open.
func (p *pool2) replace(conn *conn2) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opening++
	for i, c := range p.ready {
		if c == conn {
			p.ready = append(p.ready[:i], p.ready[i+1:]...)
			p.retireLocked(conn)
			return
		}
	}
}

func (p *pool2) retireLocked(conn *conn2) {
	left := p.retired[:0]
	for _, c := range append(p.retired, conn) {
		if c.InFlight() == 0 {
			c.Close()
			continue
		}
		left = append(left, c)
	}
	p.retired = left
}

func (p *pool2) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, conn := range append(p.ready, p.retired...) {
		conn.Close()
	}
	p.ready, p.retired = nil, nil
}
