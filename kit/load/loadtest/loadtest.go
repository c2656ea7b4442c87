// Package loadtest is a server that loses requests on purpose, exactly as told. It is what
// package load, and everything that counts with it, is tested against.
package loadtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"gapless.dev/kit/load"
)

// A Fault is what the server does with one request.
type Fault string

// The faults. Each leads to the class of loss that is named.
const (
	None        Fault = ""             // a good answer
	ResetBefore Fault = "reset-before" // reset before the first byte: load.ResetBefore
	EndBefore   Fault = "end-before"   // end of stream before the first byte: load.ResetBefore
	EndInHeader Fault = "end-header"   // end of stream within the header: load.ResetAfter
	HalfAnswer  Fault = "half"         // end of stream within the body: load.ResetAfter
	Error500    Fault = "500"          // load.Status5xx
	Error404    Fault = "404"          // load.Status4xx
	Stall       Fault = "stall"        // no answer until the client gives up: load.Timeout; or until Release
	Lie         Fault = "lie"          // another body than [Body]: load.WrongBody by [Check]
	Close       Fault = "close"        // a good answer that announces the end of the connection: no loss
)

const (
	// Body is what a good answer holds.
	Body = "the whole truth"
	// Version is what every answer names as its version.
	Version = "1.0.0"
)

// Check is load.Options.Check for this server.
func Check(a load.Answer) error {
	if string(a.Body) != Body {
		return fmt.Errorf("body %q", a.Body)
	}
	return nil
}

// A Server speaks HTTP/1.1 and HTTP/2 on one port, with TLS or (h2c) without.
type Server struct {
	*httptest.Server

	plan    func(seq int) Fault
	quit    chan struct{}
	release func()

	mu       sync.Mutex
	attempts map[string]int
	conns    int
}

// Start starts a server that treats the request with number seq as plan(seq) says.
func Start(secure bool, plan func(seq int) Fault) *Server {
	s := &Server{plan: plan, quit: make(chan struct{}), attempts: map[string]int{}}
	s.release = sync.OnceFunc(func() { close(s.quit) })
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
		}
	}
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetHTTP2(secure)
	s.Config.Protocols.SetUnencryptedHTTP2(!secure)
	s.EnableHTTP2 = secure
	if secure {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate()}}
		s.StartTLS()
	} else {
		s.Server.Start()
	}
	return s
}

// Options are the load options that reach the server.
func (s *Server) Options() load.Options {
	opts := load.Options{URL: s.URL, Check: Check}
	if t, ok := s.Client().Transport.(*http.Transport); ok {
		opts.TLS = t.TLSClientConfig
	}
	return opts
}

// certificate is a fresh one for loopback. Elliptic, because every new connection costs the
// server a signature.
func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		DNSNames:              []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Close ends stalled requests and the server.
func (s *Server) Close() {
	s.Release()
	s.CloseClientConnections()
	s.Server.Close()
}

// Release gives all stalled requests, and later ones, a good answer.
func (s *Server) Release() { s.release() }

// Attempts counts the attempts that arrived, by request id.
func (s *Server) Attempts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	copied := make(map[string]int, len(s.attempts))
	for id, n := range s.attempts {
		copied[id] = n
	}
	return copied
}

// Conns counts the connections that were opened.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(load.IDHeader)
	s.mu.Lock()
	s.attempts[id]++
	s.mu.Unlock()
	if body, _ := io.ReadAll(r.Body); r.Method == http.MethodPost && string(body) != id {
		http.Error(w, "the body of a POST is not its id", http.StatusBadRequest)
		return
	}
	seq, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
	if err != nil {
		http.Error(w, "no request number", http.StatusBadRequest)
		return
	}
	w.Header().Set(load.VersionHeader, Version)
	switch fault := s.plan(seq); fault {
	case None:
		io.WriteString(w, Body)
	case Close:
		w.Header().Set("Connection", "close")
		io.WriteString(w, Body)
	case Lie:
		io.WriteString(w, "something else")
	case Error500:
		http.Error(w, Body, http.StatusInternalServerError)
	case Error404:
		http.Error(w, Body, http.StatusNotFound)
	case Stall:
		select {
		case <-r.Context().Done():
		case <-s.quit:
			io.WriteString(w, Body)
		}
	default:
		s.cut(w, r, fault)
	}
}

// cut ends the connection, or on HTTP/2 the stream, at the point the fault names.
func (s *Server) cut(w http.ResponseWriter, r *http.Request, fault Fault) {
	if r.ProtoMajor == 2 {
		switch fault {
		case EndInHeader:
			w.WriteHeader(http.StatusOK)
			http.NewResponseController(w).Flush()
		case HalfAnswer:
			w.Header().Set("Content-Length", strconv.Itoa(len(Body)))
			io.WriteString(w, Body[:5])
			http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	switch fault {
	case ResetBefore:
		linger(conn)
	case EndInHeader:
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Len")
	case HalfAnswer:
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(Body), Body[:5])
	}
}

// linger makes the close of the connection a reset.
func linger(conn net.Conn) {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
}
