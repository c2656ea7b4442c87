package wrap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gapless.dev/gapless/internal/proxy"
	"gapless.dev/kit"
)

// A handover answers each request by what the command answers. Nothing is changed but what has to be: the command sees the request as if
// it had come to itself, with the client added to X-Forwarded-For.
type handover struct {
	listen string
	tls    *tls.Config
	to     string
	proxy  httputil.ReverseProxy

	busy atomic.Int64
}

// versionHeader is in canonical form, so it can be set without asking.
const versionHeader = "Gapless-Version"

func newHandover(o Options, certs *tls.Config) *handover {
	line := proxy.NewLine(o.To, 0)
	line.Careful, line.OnlyHTTP2, line.Fresh = true, o.HTTP2, o.Fresh
	h := &handover{listen: o.Listen, tls: certs, to: o.To}
	h.proxy = httputil.ReverseProxy{
		Transport: line, Rewrite: rewrite, ModifyResponse: h.answered, ErrorHandler: h.failed,
		BufferPool: buffers, ErrorLog: log.New(io.Discard, "", 0),
	}
	return h
}

// server is the one for clients.
func (h *handover) server() *http.Server {
	srv := &http.Server{
		Addr: h.listen, Handler: h, TLSConfig: h.tls, Protocols: new(http.Protocols),
		ReadHeaderTimeout: time.Minute,
		// Longer than any usual client or load balancer keeps a connection (GCP: 600 s): the side that closes an idle one first can cost
		// the other a request.
		IdleTimeout: 620 * time.Second,
		ErrorLog:    log.New(io.Discard, "", 0),
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	return srv
}

// A journey is what is known of one request on its way.
type journey struct {
	end     context.CancelFunc // of the way to the command
	version []string           // what kit says in our name, where the command does not
	leave   []string           // and that the client should go elsewhere
}

type journeyKey struct{}

// add says in a final answer what we have to say.
func (j *journey) add(h http.Header) {
	if j.version != nil && h[versionHeader] == nil {
		h[versionHeader] = j.version
	}
	if j.leave != nil {
		h["Connection"] = j.leave
	}
}

func (h *handover) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.busy.Add(1)
	defer h.busy.Add(-1)
	ctx, end := context.WithCancel(r.Context())
	defer end()
	// The command's own version wins, and an informational answer takes all headers with it: so ours wait for the final one.
	j := &journey{end: end, version: w.Header()[versionHeader], leave: w.Header()["Connection"]}
	delete(w.Header(), versionHeader)
	delete(w.Header(), "Connection")
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// A command may answer while it still reads; net/http by itself would throw away what it has not read by then.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	h.proxy.ServeHTTP(w, r.WithContext(context.WithValue(ctx, journeyKey{}, j)))
}

// rewrite undoes what ReverseProxy does for a proxy at the edge: headers and queries arrive as the client, or whoever stands before us,
// has written them.
func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme = "http"
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Trailer = r.In.Trailer // one map: it is filled when the body has come
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values := r.In.Header[name]; values != nil {
			r.Out.Header[name] = values
		}
	}
	if client, _, err := net.SplitHostPort(r.In.RemoteAddr); err == nil {
		way := append(slices.Clone(r.In.Header["X-Forwarded-For"]), client)
		r.Out.Header["X-Forwarded-For"] = []string{strings.Join(way, ", ")}
	}
	if r.In.TLS != nil && r.In.Header["X-Forwarded-Proto"] == nil {
		r.Out.Header["X-Forwarded-Proto"] = []string{"https"}
	}
}

// answered is called with the head of the command's answer.
func (h *handover) answered(res *http.Response) error {
	ctx := res.Request.Context()
	j := ctx.Value(journeyKey{}).(*journey)
	j.add(res.Header)
	goodbye(ctx, res, j.end)
	return nil
}

// failed is called instead of an answer. What it says is for people; the status tells a proxy whether it may try elsewhere.
func (h *handover) failed(w http.ResponseWriter, r *http.Request, err error) {
	r.Context().Value(journeyKey{}).(*journey).add(w.Header())
	var op *net.OpError
	cut, stopping := kit.Deadline(r.Context())
	switch {
	case stopping && !time.Now().Before(cut):
		refuse(w, http.StatusServiceUnavailable, "the service stops, and this took longer than it has")
	case r.Context().Err() != nil:
		w.WriteHeader(http.StatusBadGateway) // nobody reads it
	case errors.As(err, &op) && op.Op == "dial":
		w.Header().Set("Retry-After", "1") // not a byte was sent
		refuse(w, http.StatusServiceUnavailable, "the service does not listen on %s", h.to)
	default:
		refuse(w, http.StatusBadGateway, "the service broke off before it answered")
	}
}

// refuse answers in our own name, in one plain line.
func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintf(w, "gapless wrap: "+format+"\n", args...)
}

func (h *handover) quiet() <-chan struct{} { return whenNone(&h.busy) }

// look is how often a number that nobody announces is looked at.
const look = 5 * time.Millisecond

// whenNone is closed when n is 0.
func whenNone(n *atomic.Int64) <-chan struct{} {
	none := make(chan struct{})
	go func() {
		defer close(none)
		tick := time.NewTicker(look)
		defer tick.Stop()
		for n.Load() > 0 {
			<-tick.C
		}
	}()
	return none
}

// nobody is the front where the port is the command's own.
type nobody struct{}

func (nobody) quiet() <-chan struct{} {
	none := make(chan struct{})
	close(none)
	return none
}

var buffers = &bufferPool{sync.Pool{New: func() any { return new([32 << 10]byte) }}}

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte  { return p.pool.Get().(*[32 << 10]byte)[:] }
func (p *bufferPool) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }
