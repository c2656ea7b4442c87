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
// a whole request over loopback on one kept-alive connection.
//
//	go test -run '^$' -bench Overhead -benchmem -count 6 ./kit
func BenchmarkOverhead(b *testing.B) {
	for _, version := range []string{"", "1.0.0"} {
		name := "kit"
		if version != "" {
			name = "kit+version"
		}
		b.Run("handler/"+name, func(b *testing.B) { benchHandler(b, New(WithVersion(version)).bench(typed)) })
		b.Run("server/"+name, func(b *testing.B) { benchServer(b, New(WithVersion(version)), typed) })
	}
	b.Run("handler/bare", func(b *testing.B) { benchHandler(b, typed) })
	b.Run("server/bare", func(b *testing.B) { benchServer(b, nil, typed) })
}

// typed is what nearly every handler does: a header and a body.
var typed = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, "ok")
})

func (s *Service) bench(h http.Handler) http.Handler { return &handler{s, h} }

func benchHandler(b *testing.B, h http.Handler) {
	w := httptest.NewRecorder()
	w.Body = nil
	r := httptest.NewRequest("GET", "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

// benchServer serves through the same listener and hooks as Run does.
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
