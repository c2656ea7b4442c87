package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"sync"
	"syscall"
	"time"
)

// wires are the kept connections to one address of an instance. They carry the plain case, a request whose whole body is in hand and
// that asks for no upgrade, in the goroutine of the request itself; http.Transport, which needs two more for each, carries the rest.
//
// A connection is looked at before it is used again, so that one that the service has closed is not written to.
type wires struct {
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	timeout time.Duration // to the first byte of an answer; 0 is none

	mu     sync.Mutex
	idle   []*wire // the one used last is at the end
	tidy   *time.Timer
	closed bool
}

// A wire is one HTTP/1.1 connection.
type wire struct {
	conn  net.Conn
	raw   syscall.RawConn
	in    *bufio.Reader
	out   *bufio.Writer
	wrote int       // bytes of the present request
	since time.Time // when it became idle
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.conn.Write(p)
	w.wrote += n
	return n, err
}

// roundTrip sends r to addr. Like http.Transport it tries again where a kept connection turns out to be closed: if not a byte was
// written, or if the method may be repeated and not a byte was answered.
//
// Careful leaves a kept connection to requests that may be repeated.
func (ws *wires) roundTrip(r *http.Request, addr string, careful bool) (*http.Response, error) {
	for {
		var w *wire
		var err error
		if !careful || repeatable(r) {
			w = ws.kept()
		}
		reused := w != nil
		if !reused {
			if w, err = ws.open(r.Context(), addr); err != nil {
				return nil, err
			}
		}
		res, answered, err := ws.exchange(w, r)
		if err == nil {
			return res, nil
		}
		w.conn.Close()
		if !reused || answered || r.Context().Err() != nil || (w.wrote > 0 && !repeatable(r)) || isTimeout(err) {
			return nil, err
		}
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return r.Body == nil
	}
	return false
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// exchange writes the request and reads the head of the answer. The connection goes back once the body was read.
func (ws *wires) exchange(w *wire, r *http.Request) (res *http.Response, answered bool, err error) {
	w.wrote = 0
	if ws.timeout > 0 {
		_ = w.conn.SetDeadline(time.Now().Add(ws.timeout))
	}
	stop := context.AfterFunc(r.Context(), func() { _ = w.conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if err != nil {
			stop()
		}
	}()
	if err = r.Write(w.out); err == nil {
		err = w.out.Flush()
	}
	if err != nil {
		return nil, false, err
	}
	if _, err = w.in.Peek(1); err != nil {
		return nil, false, err
	}
	for {
		if res, err = http.ReadResponse(w.in, r); err != nil {
			return nil, true, err
		}
		if res.StatusCode >= 200 {
			break
		}
		if res.StatusCode == http.StatusSwitchingProtocols {
			return nil, true, errors.New("the service switched protocols without being asked to")
		}
		if t := httptrace.ContextClientTrace(r.Context()); t != nil && t.Got1xxResponse != nil {
			if err = t.Got1xxResponse(res.StatusCode, textproto.MIMEHeader(res.Header)); err != nil {
				return nil, true, err
			}
		}
	}
	_ = w.conn.SetDeadline(time.Time{})
	if r.Context().Err() != nil { // the deadline that ended the request may just have been cleared
		return nil, true, r.Context().Err()
	}
	b := &wireBody{ReadCloser: res.Body, ws: ws, w: w, stop: stop, last: res.Close}
	if res.Body == http.NoBody {
		b.finish(true)
		return res, true, nil
	}
	res.Body = b
	return res, true, nil
}

// wireBody gives the connection back at the end of the body, and closes it when the body is not read to its end.
type wireBody struct {
	io.ReadCloser
	ws   *wires
	w    *wire
	stop func() bool
	last bool // the service closes the connection after this answer
	done bool
}

func (b *wireBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.finish(err == io.EOF)
	}
	return n, err
}

func (b *wireBody) Close() error {
	b.finish(false)
	return nil
}

func (b *wireBody) finish(whole bool) {
	if b.done {
		return
	}
	b.done = true
	// A stop that comes too late means that the deadline was, or is being, put into the past.
	if inTime := b.stop(); whole && inTime && !b.last && b.w.in.Buffered() == 0 {
		b.ws.keep(b.w)
		return
	}
	b.w.conn.Close()
}

func (ws *wires) open(ctx context.Context, addr string) (*wire, error) {
	conn, err := ws.dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	w := &wire{conn: conn, in: bufio.NewReader(conn)}
	w.out = bufio.NewWriter(w)
	if c, ok := conn.(syscall.Conn); ok {
		w.raw, _ = c.SyscallConn()
	}
	return w, nil
}

// kept takes an idle connection that is open still, or returns nil.
func (ws *wires) kept() *wire {
	for {
		ws.mu.Lock()
		last := len(ws.idle) - 1
		if last < 0 {
			ws.mu.Unlock()
			return nil
		}
		w := ws.idle[last]
		ws.idle[last], ws.idle = nil, ws.idle[:last]
		ws.mu.Unlock()
		if time.Since(w.since) < idleUpstream && w.quiet() {
			return w
		}
		w.conn.Close()
	}
}

func (ws *wires) keep(w *wire) {
	w.since = time.Now()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		w.conn.Close()
		return
	}
	ws.idle = append(ws.idle, w)
	if ws.tidy == nil {
		ws.tidy = time.AfterFunc(idleUpstream, ws.closeOld)
	}
}

// closeOld closes connections that were not used for long. A service that serves one connection at a time waits for it.
func (ws *wires) closeOld() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	now, old := time.Now(), 0
	for old < len(ws.idle) && now.Sub(ws.idle[old].since) >= idleUpstream {
		ws.idle[old].conn.Close()
		old++
	}
	ws.idle = slices.Delete(ws.idle, 0, old)
	if ws.tidy = nil; len(ws.idle) > 0 {
		ws.tidy = time.AfterFunc(idleUpstream-now.Sub(ws.idle[0].since), ws.closeOld)
	}
}

// close ends the idle connections, and the others as soon as they are.
func (ws *wires) close() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.idle {
		w.conn.Close()
	}
	if ws.tidy != nil {
		ws.tidy.Stop()
	}
	ws.idle, ws.closed = nil, true
}

// quiet tells whether nothing has come on the connection, not even its end.
func (w *wire) quiet() bool {
	if w.raw == nil {
		return false
	}
	open := false
	err := w.raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	})
	return err == nil && open
}
