package load

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"net"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// do1 makes one attempt over HTTP/1.1. It is written over net.Conn because http.Transport
// retries a request whose reused connection died.
func (c *client) do1(shot Shot, res *Result, deadline time.Time) error {
	conn, err := c.connect1(shot, deadline)
	if err != nil {
		return err
	}
	msg := c.message(shot, res.ID)
	defer messages.Put(msg)

	conn.SetDeadline(deadline)
	n, err := conn.Write(*msg)
	if err != nil && n == 0 && conn.used && !c.secure {
		// The connection was reset between the look at it and the write: not a byte
		// went out, so this is still a connection closed while idle.
		c.h1.drop(conn)
		if conn, err = c.open1(shot, deadline); err != nil {
			return err
		}
		c.h1.count()
		conn.SetDeadline(deadline)
		_, err = conn.Write(*msg)
	}
	res.Reused = conn.used
	if err != nil {
		c.h1.drop(conn)
		return exchangeFailure(err, false)
	}
	keep, err := c.read1(conn, shot.Method, res)
	if keep && !shot.New {
		conn.used = true
		c.h1.put(conn)
		return err
	}
	c.h1.drop(conn)
	return err
}

// connect1 returns a connection on which nothing is outstanding.
func (c *client) connect1(shot Shot, deadline time.Time) (*conn1, error) {
	if shot.New {
		return c.open1(shot, deadline)
	}
	if conn := c.h1.take(); conn != nil {
		return conn, nil
	}
	conn, err := c.open1(shot, deadline)
	if err != nil {
		c.h1.forget()
	}
	return conn, err
}

func (c *client) open1(shot Shot, deadline time.Time) (*conn1, error) {
	nc, err := c.dial(deadline, "http/1.1")
	if err != nil {
		return nil, err
	}
	return newConn1(nc, !shot.New), nil
}

// read1 reads one response to its end. keep says whether the connection may be used again.
func (c *client) read1(conn *conn1, method string, res *Result) (keep bool, err error) {
	conn.end = nil
	if _, err := conn.r.Peek(1); err != nil {
		return false, exchangeFailure(err, false)
	}
	req := &http.Request{Method: method}
	resp, err := http.ReadResponse(conn.r, req)
	for err == nil && resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(conn.r, req)
	}
	if err != nil {
		// A header that was cut short may parse as a malformed one.
		return false, exchangeFailure(cmp.Or(conn.end, err), true)
	}
	res.Status = resp.StatusCode
	body := bodies.Get().(*bytes.Buffer)
	body.Reset()
	defer bodies.Put(body)
	if err := readBody(body, resp.Body); err != nil {
		return false, exchangeFailure(cmp.Or(conn.end, err), true)
	}
	keep = !resp.Close && resp.StatusCode/100 != 1 && conn.r.Buffered() == 0
	return keep, c.judge(Answer{resp.StatusCode, resp.Header, resp.Trailer, body.Bytes()}, res)
}

const maxBody = 1 << 20

// readBody reads all of a body and keeps the first MiB of it.
func readBody(keep *bytes.Buffer, body io.Reader) error {
	_, err := keep.ReadFrom(io.LimitReader(body, maxBody))
	if err != nil || keep.Len() < maxBody {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return err
}

var (
	bodies   = sync.Pool{New: func() any { return new(bytes.Buffer) }}
	messages = sync.Pool{New: func() any { return new([]byte) }}
	readers  = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}
)

// requestHead is the part of a request that never changes, up to the value of the id.
func (c *client) requestHead(method string) string {
	var b strings.Builder
	b.WriteString(method + " " + c.url.RequestURI() + " HTTP/1.1\r\nHost: " + c.host + "\r\n")
	header := c.opts.Header
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		for _, v := range header[name] {
			b.WriteString(name + ": " + v + "\r\n")
		}
	}
	b.WriteString(IDHeader + ": ")
	return b.String()
}

// message is the whole request, to be written at once.
func (c *client) message(shot Shot, id string) *[]byte {
	msg := messages.Get().(*[]byte)
	b := append((*msg)[:0], c.head[shot.Method]...)
	b = append(append(b, id...), "\r\n"...)
	if shot.New {
		b = append(b, "Connection: close\r\n"...)
	}
	if shot.Method == http.MethodPost {
		body := c.body(id)
		if c.opts.Header.Get("Content-Type") == "" {
			b = append(b, "Content-Type: text/plain\r\n"...)
		}
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
		b = append(b, "\r\n\r\n"...)
		b = append(b, body...)
	} else {
		b = append(b, "\r\n"...)
	}
	*msg = b
	return msg
}

type conn1 struct {
	net.Conn
	r      *bufio.Reader
	end    error // what reading ended with in this request, if it has
	used   bool  // carried a request before
	pooled bool  // counted by the pool
}

func newConn1(nc net.Conn, pooled bool) *conn1 {
	c := &conn1{Conn: nc, pooled: pooled, r: readers.Get().(*bufio.Reader)}
	c.r.Reset(c)
	return c
}

// Close is called once, when nothing reads any more.
func (c *conn1) Close() error {
	c.r.Reset(nil)
	readers.Put(c.r)
	c.r = nil
	return c.Conn.Close()
}

func (c *conn1) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.end = err
	}
	return n, err
}

// fresh reports whether an idle connection can still carry a request: no end of stream,
// no reset and no unasked-for byte has arrived on it.
func (c *conn1) fresh() bool {
	nc := c.Conn
	secured, isTLS := nc.(interface{ NetConn() net.Conn })
	if isTLS {
		nc = secured.NetConn()
	}
	quiet, known := silent(nc)
	if known && (quiet || !isTLS) {
		return quiet
	}
	// What arrived on TLS may be a session ticket, which is fine, or the end.
	// Only reading tells: a ticket leads to a timeout.
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.r.Peek(1)
	return err != nil && isTimeout(err)
}

// pool1 keeps HTTP/1 connections. They take turns, oldest first, so that all stay in use:
// behind a balancer each may lead to another instance. When all are busy more are opened,
// and kept: to close and open them with every burst would make the burst worse.
type pool1 struct {
	mu     sync.Mutex
	want   int
	open   int // idle, busy or being opened; without those of New requests
	idle   []*conn1
	first  int // of idle; the ones before are taken
	closed bool
}

const mostIdle = 1024

func newPool1(want int) *pool1 { return &pool1{want: want} }

// take returns an idle connection, or nil when the caller has to open one, which is then counted.
func (p *pool1) take() *conn1 {
	for {
		p.mu.Lock()
		if p.open < p.want || p.first == len(p.idle) {
			p.open++
			p.mu.Unlock()
			return nil
		}
		conn := p.idle[p.first]
		p.idle[p.first] = nil
		p.first++
		p.mu.Unlock()
		if conn.fresh() {
			return conn
		}
		p.drop(conn)
	}
}

func (p *pool1) put(conn *conn1) {
	p.mu.Lock()
	if !p.closed && len(p.idle)-p.first < max(p.want, mostIdle) {
		if p.first > len(p.idle)/2 {
			p.idle = append(p.idle[:0], p.idle[p.first:]...)
			p.first = 0
		}
		p.idle = append(p.idle, conn)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.drop(conn)
}

func (p *pool1) drop(conn *conn1) {
	conn.Close()
	if conn.pooled {
		p.forget()
	}
}

func (p *pool1) count() {
	p.mu.Lock()
	p.open++
	p.mu.Unlock()
}

func (p *pool1) forget() {
	p.mu.Lock()
	p.open--
	p.mu.Unlock()
}

func (p *pool1) close() {
	p.mu.Lock()
	idle := p.idle[p.first:]
	p.idle, p.first, p.closed = nil, 0, true
	p.mu.Unlock()
	for _, conn := range idle {
		conn.Close()
	}
}
