package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

// An exchange is one request on its way. It is the transport of its own ReverseProxy, so that it chooses the instance itself,
// and another one when the first refuses the connection.
type exchange struct {
	proxy httputil.ReverseProxy
	app   *App
	port  string
	// preview asks for the version that is shown, whatever its weight.
	preview bool

	on     *Instance // entered
	not    []*Instance
	body   []byte // the whole body, where it is small
	wait   *patience
	sent   time.Time
	status int
	failed bool
	grpc   bool
	shadow *shadow
}

var exchanges = sync.Pool{New: func() any {
	x := new(exchange)
	x.proxy = httputil.ReverseProxy{
		Transport: x, Rewrite: rewrite, ErrorHandler: x.fail, BufferPool: buffers, ErrorLog: quiet,
	}
	return x
}}

func (a *App) handle(w http.ResponseWriter, r *http.Request, to *target) {
	x := exchanges.Get().(*exchange)
	x.app, x.port, x.preview, x.sent = a, to.port, to.preview, time.Now()
	x.grpc = isGRPC(r)
	if !x.takeBody(w, r) {
		x.free()
		return
	}
	defer a.leave()
	if !a.enter() {
		refuse(w, http.StatusServiceUnavailable, "%s has %d requests on their way, which is its limit (limits.inFlight)", a.name, a.busyMax)
		x.free()
		return
	}
	done := false
	defer func() {
		x.wait.leave()
		x.count(r, done)
		if done {
			x.free()
		}
	}()
	x.mirror(r)
	x.proxy.ServeHTTP(w, r)
	done = true
}

// takeBody reads a small body whole; while it comes the request has no place among those in flight. It answers itself where the body is
// too large or does not come.
func (x *exchange) takeBody(w http.ResponseWriter, r *http.Request) bool {
	if limit := x.app.bodyMax; limit > 0 {
		if r.ContentLength > limit {
			x.tooLarge(w)
			return false
		}
	}
	if r.ContentLength != 0 && (small(r) || !x.grpc) { // a call of gRPC may be silent before it is answered, too
		x.wait = &patience{ReadCloser: r.Body, limit: x.app.timeout, until: http.NewResponseController(w).SetReadDeadline}
		r.Body = x.wait
	}
	if limit := x.app.bodyMax; limit > 0 {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
	switch {
	case r.ContentLength == 0:
		return true
	case !small(r):
		// A service may answer while the body still comes; else net/http throws away what is unread when the answer begins.
		_ = http.NewResponseController(w).EnableFullDuplex()
		return true
	}
	x.body = make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, x.body); err != nil {
		if x.wait.isSpent() {
			x.tooSlow(w, r)
			return false
		}
		refuse(w, http.StatusBadRequest, "the body ended before its Content-Length")
		return false
	}
	return true
}

func (x *exchange) tooLarge(w http.ResponseWriter) {
	refuse(w, http.StatusRequestEntityTooLarge, "the body is larger than %d bytes, which is the limit of %s (limits.body)", x.app.bodyMax, x.app.name)
}

func (x *exchange) tooSlow(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // where the next request would begin nobody knows
	}
	refuse(w, http.StatusRequestTimeout, "nothing more of the body came within %v (limits.timeout)", x.app.timeout)
}

// RoundTrip sends the request to an instance. It goes to another one only when the connection was never made: then not a byte
// was sent, whatever the method.
func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	if x.body == nil && r.Body != nil {
		r.Body = keptOpen{r.Body} // a transport that fails to dial closes the body, and the next one needs it
	}
	for {
		if x.on = x.app.pick(r, x.not, x.preview); x.on == nil {
			return nil, errNoInstance
		}
		if x.body != nil {
			r.Body = io.NopCloser(bytes.NewReader(x.body))
			r.GetBody = x.bodyAgain
		}
		line := x.on.lines[x.port]
		if line == nil {
			return nil, errNoPort // the process was started before the file named the port
		}
		res, err := line.send(r, r.Body == nil || x.body != nil, x.grpc)
		if err == nil {
			x.status = res.StatusCode
			x.wait.lift()
			x.shadow.real(x.status, x.sent)
			x.stick(r, res)
			x.keep(r, res)
			return res, nil
		}
		if !neverSent(err) || r.Context().Err() != nil {
			return nil, err
		}
		x.on.counts.retried.Add(1)
		x.not = append(x.not, x.on)
		x.on.leave()
	}
}

func (x *exchange) bodyAgain() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(x.body)), nil
}

func (x *exchange) stick(r *http.Request, res *http.Response) {
	if x.app.sticky == "" {
		return
	}
	if c, err := r.Cookie(x.app.sticky); err == nil && c.Value == x.on.token {
		return
	}
	c := http.Cookie{Name: x.app.sticky, Value: x.on.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	res.Header.Add("Set-Cookie", c.String())
}

var (
	errNoInstance = errors.New("no instance")
	errNoPort     = errors.New("no such port")
)

// neverSent tells that no connection came about.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// fail is called instead of an answer.
func (x *exchange) fail(w http.ResponseWriter, r *http.Request, err error) {
	var large *http.MaxBytesError
	var timeout net.Error
	x.failed = true
	switch {
	case x.wait.isSpent():
		x.failed = false
		x.tooSlow(w, r)
	case errors.As(err, &large):
		x.failed = false
		x.tooLarge(w)
	case errors.Is(err, errNoInstance):
		refuse(w, http.StatusServiceUnavailable, "%s has no instance that can answer now", x.app.name)
	case errors.Is(err, errNoPort):
		refuse(w, http.StatusServiceUnavailable, "%s %s was started before port %s was added: deploy a version to have it", x.app.name, x.on.version, x.port)
	case r.Context().Err() != nil:
		w.WriteHeader(http.StatusBadGateway) // nobody reads it
	case errors.As(err, &timeout) && timeout.Timeout():
		refuse(w, http.StatusGatewayTimeout, "%s %s did not begin to answer within %v", x.app.name, x.on.version, x.app.timeout)
	default:
		refuse(w, http.StatusBadGateway, "%s %s broke off before it answered", x.app.name, x.on.version)
	}
}

// count books the request at its version and gives the instance back. An answer that broke off is an error; a client that left is not.
func (x *exchange) count(r *http.Request, done bool) {
	if x.on == nil {
		return
	}
	c := x.on.counts
	c.requests.Add(1)
	c.latency.Add(int64(time.Since(x.sent)))
	switch broken := x.failed || !done; {
	case broken && errors.Is(r.Context().Err(), context.Canceled):
		c.gone.Add(1)
	case broken:
		c.errors.Add(1)
	case x.status >= 500:
		c.status5xx.Add(1)
	}
	x.on.leave()
}

func (x *exchange) free() {
	x.app, x.on, x.body, x.wait, x.status, x.failed, x.grpc, x.shadow = nil, nil, nil, nil, 0, false, false, nil
	clear(x.not)
	x.not = x.not[:0]
	exchanges.Put(x)
}

func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme = "http"
	r.Out.Trailer = r.In.Trailer // one map: it is filled when the body has come
	r.SetXForwarded()
}

type keptOpen struct{ io.Reader }

func (keptOpen) Close() error { return nil }

var buffers = &bufferPool{sync.Pool{New: func() any { return new([32 << 10]byte) }}}

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte  { return p.pool.Get().(*[32 << 10]byte)[:] }
func (p *bufferPool) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }
