package kit

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// track is what is known of one accepted connection. It is changed by the
// connection's own goroutine only, and read when the service ends.
type track struct {
	accepted time.Time
	state    atomic.Int32  // http.ConnState; stays StateNew where nobody tells
	reads    atomic.Uint32 // how often bytes came
	idleAt   atomic.Uint32 // reads, when it last became idle
	http2    atomic.Bool   // it began with the preface of HTTP/2 without TLS
	over     atomic.Pointer[tls.Conn]
	told     atomic.Bool // counted as a new connection during the drain
	raw      net.Conn    // the connection as accepted
	forget   func()      // takes it from its listener's book; once
}

// tcpConn is an accepted TCP connection; embedding the type and not the
// interface keeps sendfile and splice, which net/http looks for.
type tcpConn struct {
	*net.TCPConn
	*track
}

// plainConn is any other accepted connection.
type plainConn struct {
	net.Conn
	*track
}

func (c *tcpConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.saw(p[:n])
	return n, err
}

func (c *plainConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.saw(p[:n])
	return n, err
}

func (c *tcpConn) Close() error {
	c.forget()
	return c.TCPConn.Close()
}

func (c *plainConn) Close() error {
	c.forget()
	return c.Conn.Close()
}

// preface is how an HTTP/2 connection without TLS begins.
var preface = []byte("PRI * HTTP/2.0")

// saw notes that bytes came.
func (t *track) saw(p []byte) {
	if len(p) == 0 {
		return
	}
	if t.reads.Add(1) == 1 && bytes.HasPrefix(p, preface) {
		t.http2.Store(true)
	}
}

func (c *tcpConn) tracked() *track   { return c.track }
func (c *plainConn) tracked() *track { return c.track }

// trackOf finds the track under what net/http hands to its hooks: the
// connection itself, or TLS over it.
func trackOf(c net.Conn) *track {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(interface{ tracked() *track }); ok {
		return t.tracked()
	}
	return nil
}

// connState keeps the state that net/http tells.
func connState(c net.Conn, state http.ConnState) {
	t := trackOf(c)
	if t == nil {
		return
	}
	if state == http.StateIdle {
		t.idleAt.Store(t.reads.Load())
	}
	t.state.Store(int32(state))
	if over, ok := c.(*tls.Conn); ok && state == http.StateNew {
		t.over.Store(over)
	}
}

// idle reports whether the connection waits for a request, and whether that
// has begun to come.
func (t *track) idle() (idle, begun bool) {
	if http.ConnState(t.state.Load()) != http.StateIdle {
		return false, false
	}
	return true, t.reads.Load() != t.idleAt.Load() || pending(t.raw)
}

// speaksHTTP2 is asked of idle connections only: during its handshake a TLS
// connection would let us wait.
func (t *track) speaksHTTP2() bool {
	if over := t.over.Load(); over != nil {
		return over.ConnectionState().NegotiatedProtocol == "h2"
	}
	return t.http2.Load()
}
