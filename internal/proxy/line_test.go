package proxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
)

// behind is a server, a line to it behind a ReverseProxy, and how many connections the server has accepted.
func behind(t *testing.T, h http.HandlerFunc, setup func(*http.Server, *Line)) (url string, accepted *atomic.Int32) {
	t.Helper()
	accepted = new(atomic.Int32)
	back := httptest.NewUnstartedServer(h)
	back.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			accepted.Add(1)
		}
	}
	l := NewLine(back.Listener.Addr().String(), 0)
	setup(back.Config, l)
	back.Start()
	front := httptest.NewServer(&httputil.ReverseProxy{Transport: l, Rewrite: rewrite, ErrorLog: quiet})
	t.Cleanup(func() {
		front.Close()
		l.Close()
		back.Close()
	})
	return front.URL, accepted
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // before the answer: net/http throws away what is unread when that begins
	w.Header().Set("Proto", r.Proto)
	_, _ = w.Write(body)
}

func TestLine_CarefulGivesWhatMayNotBeRepeatedAConnectionOfItsOwn(t *testing.T) {
	url, accepted := behind(t, echo, func(_ *http.Server, l *Line) { l.Careful = true })
	large := strings.Repeat("x", smallBody+1)
	for _, body := range []string{"small", large} {
		for range 3 {
			res, err := http.Post(url, "text/plain", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(res.Body); string(got) != body || err != nil {
				t.Fatalf("%d bytes of %d came back, %v", len(got), len(body), err)
			}
			res.Body.Close()
		}
	}
	if got := accepted.Load(); got != 6 {
		t.Errorf("6 POST took %d connections", got)
	}
	for range 3 {
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	if got := accepted.Load(); got > 7 {
		t.Errorf("3 GET took %d connections", got-6)
	}
}

func TestLine_OnlyHTTP2SpeaksItForEveryRequest(t *testing.T) {
	url, _ := behind(t, echo, func(srv *http.Server, l *Line) {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetUnencryptedHTTP2(true)
		l.OnlyHTTP2 = true
	})
	res, err := http.Post(url, "text/plain", strings.NewReader("small"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "small" || res.Header.Get("Proto") != "HTTP/2.0" {
		t.Errorf("%q over %s", body, res.Header.Get("Proto"))
	}
}
