package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// client sends single attempts. It owns the connections of one run.
type client struct {
	opts   Options
	url    *url.URL
	host   string // of the Host header
	addr   string // dialled
	secure bool
	head   map[string]string // method -> request line and constant header fields, HTTP/1
	h1     *pool1
	h2     *pool2
}

func newClient(opts Options) (*client, error) {
	u, err := url.Parse(opts.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, &OptionError{"URL", opts.URL, "give http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH"}
	}
	if opts.ConnectTo != "" {
		if _, _, err := net.SplitHostPort(opts.ConnectTo); err != nil {
			return nil, &OptionError{"ConnectTo", opts.ConnectTo, "give HOST:PORT"}
		}
	}
	if opts.Header, err = requestHeader(u, opts.Header); err != nil {
		return nil, err
	}
	c := &client{
		opts:   opts,
		url:    u,
		host:   u.Host,
		addr:   address(u, opts.ConnectTo),
		secure: u.Scheme == "https",
	}
	if h := opts.Header.Get("Host"); h != "" {
		c.host = h
	}
	c.opts.Header.Del("Host")
	c.head = map[string]string{
		http.MethodGet:  c.requestHead(http.MethodGet),
		http.MethodPost: c.requestHead(http.MethodPost),
	}
	c.h1 = newPool1(opts.Conns)
	c.h2 = newPool2(opts.Conns)
	return c, nil
}

// do makes one attempt and fills in its outcome.
func (c *client) do(shot Shot, res *Result) {
	deadline := res.Started.Add(c.opts.Timeout)
	attempt := c.do1
	if shot.HTTP2 {
		attempt = c.do2
	}
	err := attempt(shot, res, deadline)
	if err == nil {
		return
	}
	res.Class, res.Err = Other, text(err)
	var f *failure
	if errors.As(err, &f) {
		res.Class = f.class
	}
}

// body is what a POST request carries.
func (c *client) body(id string) []byte {
	if c.opts.Body != nil {
		return c.opts.Body(id)
	}
	return []byte(id)
}

func (c *client) close() {
	c.h1.close()
	c.h2.close()
}

// judge looks at a complete answer.
func (c *client) judge(a Answer, res *Result) error {
	res.Version = c.opts.Version(a)
	switch {
	case a.Status >= 500:
		return fail(Status5xx, fmt.Errorf("status %d", a.Status))
	case a.Status >= 400:
		return fail(Status4xx, fmt.Errorf("status %d", a.Status))
	case c.opts.Check == nil:
		return nil
	}
	if err := c.opts.Check(a); err != nil {
		return fail(WrongBody, err)
	}
	return nil
}

// dial opens a connection, with TLS if the URL says so, and speaks only the given protocol on it.
func (c *client) dial(deadline time.Time, proto string) (net.Conn, error) {
	d := net.Dialer{Deadline: deadline, KeepAlive: -1}
	conn, err := d.Dial("tcp", c.addr)
	if err != nil {
		return nil, dialFailure(err)
	}
	if !c.secure {
		return conn, nil
	}
	conf := &tls.Config{}
	if c.opts.TLS != nil {
		conf = c.opts.TLS.Clone()
	}
	if conf.ServerName == "" {
		conf.ServerName = hostname(c.host)
	}
	conf.NextProtos = []string{proto}
	conn.SetDeadline(deadline)
	tc := tls.Client(conn, conf)
	if err := tc.Handshake(); err != nil {
		conn.Close()
		return nil, fail(TLS, fmt.Errorf("TLS handshake with %s: %w", c.addr, err))
	}
	return tc, nil
}

// address is what is dialled: RFC 6761 makes every name under localhost this machine, but
// not every resolver knows.
func address(u *url.URL, connectTo string) string {
	if connectTo != "" {
		return connectTo
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if strings.HasSuffix(strings.ToLower(host), ".localhost") {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

// requestHeader is the header of every request, without what is set for each.
func requestHeader(u *url.URL, given http.Header) (http.Header, error) {
	if err := validHeader(given); err != nil {
		return nil, err
	}
	h := given.Clone()
	if h == nil {
		h = http.Header{}
	}
	for _, name := range []string{IDHeader, "Content-Length", "Transfer-Encoding", "Connection"} {
		h.Del(name)
	}
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", "gapless-load")
	}
	if password, ok := u.User.Password(); (ok || u.User.Username() != "") && h.Get("Authorization") == "" {
		req := http.Request{Header: h}
		req.SetBasicAuth(u.User.Username(), password)
	}
	return h, nil
}

func validHeader(h http.Header) error {
	for name, values := range h {
		if name == "" || strings.ContainsAny(name, " \r\n:") {
			return &OptionError{"Header", name, "give a plain field name"}
		}
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n") {
				return &OptionError{"Header", name + ": " + v, "give a value on one line"}
			}
		}
	}
	return nil
}
