package kit

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkOverhead compares a request through kit with the same handler bare.
// "handler" is the cost of kit's handler alone, without a network; "server" is
// a whole request over loopback on one kept-alive connection, through the same
// listener and hooks as in Run. "silent" is a handler that sets no header of
// its own: there net/http makes room for the first one, which then is the
// version's.
//
//	go test -run - -bench Overhead -benchmem -count 6 ./kit
func BenchmarkOverhead(b *testing.B) {
	services := []struct {
		name    string
		service func() *Service
	}{
		{"bare", func() *Service { return nil }},
		{"kit", func() *Service { return New() }},
		{"kit with version", func() *Service { return New(WithVersion("1.0.0")) }},
	}
	for _, how := range []struct {
		name    string
		measure func(*testing.B, *Service, http.Handler)
		handler http.Handler
	}{
		{"handler", benchHandler, http.HandlerFunc(typed)},
		{"server", benchServer, http.HandlerFunc(typed)},
		{"server, silent", benchServer, http.HandlerFunc(silent)},
	} {
		for _, s := range services {
			b.Run(how.name+"/"+s.name, func(b *testing.B) { how.measure(b, s.service(), how.handler) })
		}
	}
}

// typed does what nearly every handler does: a header and a body.
func typed(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, "ok")
}

func silent(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }

func benchHandler(b *testing.B, s *Service, h http.Handler) {
	if s != nil {
		h = &handler{s, h}
	}
	w := httptest.NewRecorder()
	w.Body = nil
	r := httptest.NewRequest("GET", "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

func benchServer(b *testing.B, s *Service, h http.Handler) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	served := ln
	if s != nil {
		s.attach(srv)
		served = s.listen(ln)
	}
	go srv.Serve(served)
	defer srv.Shutdown(context.Background())

	// A client of a few lines, so that its own cost does not drown the server's.
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	request := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < 2 || string(buf[got-2:got]) != "ok"; {
			n, err := c.Read(buf[got:])
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
	}
}
