package kit

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// certificate is a fresh one for 127.0.0.1, as files and ready to use.
func certificate(t *testing.T) (cert tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kit"},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err = tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return cert, certFile, keyFile
}

// protocols are the ways to ask a service, each with its server and client.
func protocols(t *testing.T) map[string]func(*http.Server, *http.Transport) {
	cert, _, _ := certificate(t)
	return map[string]func(*http.Server, *http.Transport){
		"HTTP/1": func(*http.Server, *http.Transport) {},
		"HTTP/1 over TLS": func(srv *http.Server, tr *http.Transport) {
			srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
			tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}
		},
		"HTTP/2": func(srv *http.Server, tr *http.Transport) {
			srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
			tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
			tr.ForceAttemptHTTP2 = true
		},
		"HTTP/2 without TLS": func(srv *http.Server, tr *http.Transport) {
			srv.Protocols, tr.Protocols = new(http.Protocols), new(http.Protocols)
			srv.Protocols.SetHTTP1(true)
			srv.Protocols.SetUnencryptedHTTP2(true)
			tr.Protocols.SetUnencryptedHTTP2(true)
		},
	}
}

// Each protocol: asked before and in the drain and across its end, nothing is
// lost, clients are moved to other connections, and none is left at the end.
func TestProtocols_ServeThroughTheDrainAndSayGoodbye(t *testing.T) {
	for name, setup := range protocols(t) {
		t.Run(name, func(t *testing.T) {
			srv := &http.Server{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					time.Sleep(1500 * time.Millisecond)
				}
				fmt.Fprint(w, r.Proto)
			})}
			transport := &http.Transport{}
			setup(srv, transport)
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
			svc := start(t, func(s *Service) { s.HTTP("api", srv) }, WithBudget(roomy)).waitReady()
			scheme := "http://"
			if transport.TLSClientConfig != nil {
				scheme = "https://"
			}
			url := scheme + svc.Addrs()["api"].String()

			var connections atomic.Int32
			trace := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
				GotConn: func(info httptrace.GotConnInfo) {
					if !info.Reused {
						connections.Add(1)
					}
				},
			})
			ask := func(path string) (string, error) {
				req, _ := http.NewRequestWithContext(trace, http.MethodGet, url+path, nil)
				resp, err := client.Do(req)
				if err != nil {
					return "", err
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				return string(body), err
			}
			for range 5 {
				if _, err := ask("/"); err != nil {
					t.Fatal(err)
				}
			}
			if connections.Load() != 1 {
				t.Errorf("%d connections for 5 requests before the stop", connections.Load())
			}
			slow := make(chan error, 1)
			go func() { _, err := ask("/slow"); slow <- err }()
			for svc.inFlight.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			svc.cancel()
			<-svc.draining
			for began := time.Now(); time.Since(began) < 900*time.Millisecond; time.Sleep(10 * time.Millisecond) {
				_, err := ask("/")
				if svc.Phase() != PhaseDraining { // on a busy machine we may come too late
					break
				}
				if err != nil {
					t.Fatalf("%v into the drain: %v", time.Since(began), err)
				}
			}
			if err := <-slow; err != nil {
				t.Errorf("in flight at the stop: %v", err)
			}
			code, report := svc.wait()
			if code != exitClean || connections.Load() < 3 {
				t.Errorf("exit %d, %d connections, %+v", code, connections.Load(), report)
			}
			if left := svc.sum().open; left != 0 {
				t.Errorf("%d connections left in the book", left)
			}
		})
	}
}

func TestListenAndServeTLS_NamesAMissingCertificate(t *testing.T) {
	if err := ListenAndServeTLS(":0", "none.pem", "none.key", nil); err == nil {
		t.Error("no error")
	}
}

func TestListenAndServe_ReturnsWhyItCouldNotStart(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	t.Setenv("GAPLESS_REPORT", os.DevNull)
	if err := ListenAndServe(ln.Addr().String(), nil); err == nil {
		t.Error("no error")
	}
}

// Whoever stands in the accept queue when the door closes is served.
func TestListener_EmptiesItsQueueBeforeItCloses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the accept queue is drained on Linux only")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	svc := New()
	l := svc.listen(ln)
	const queued = 20
	for range queued {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	// As if Accept were asleep on the deadline: nobody accepts until the end.
	l.stopping.Store(true)
	if err := ln.(*net.TCPListener).SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for {
		c, err := l.Accept()
		if err != nil {
			break
		}
		accepted++
		c.Close()
	}
	if accepted != queued || l.saved != queued {
		t.Errorf("%d accepted, %d rescued, of %d", accepted, l.saved, queued)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("still listening")
	}
	if got := l.tally().open; got != 0 {
		t.Errorf("%d open after all were closed", got)
	}
}

func TestListener_LetsNoNewHandshakeBeginWhileItIsClosing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := refuseHandshakes(ln.(syscall.Conn)); err != nil {
		t.Skipf("this kernel does not let us: %v", err)
	}
	if c, err := net.DialTimeout("tcp", ln.Addr().String(), 200*time.Millisecond); err == nil {
		c.Close()
		t.Error("a handshake began")
	}
}

// An idle connection on which half a request has come is not idle: net/http's
// own Shutdown would close it.
func TestCloseIdle_SparesAConnectionThatHasBegunToAsk(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	svc := New()
	srv := &http.Server{Handler: http.HandlerFunc(hello)}
	svc.attach(srv)
	l := svc.listen(ln)
	svc.listeners = append(svc.listeners, l)
	go srv.Serve(l)
	defer srv.Close()

	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	from := bufio.NewReader(c)
	answered := func() {
		t.Helper()
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); string(body) != "hello" || err != nil {
			t.Fatalf("%q %v", body, err)
		}
		for !only(l, http.StateIdle) {
			time.Sleep(time.Millisecond)
		}
	}
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	answered()
	for _, part := range []string{"GE", "T / HTTP/1.1\r\n", "Host: a\r\n"} {
		io.WriteString(c, part)
		svc.closeIdle() // the part comes before, while or after it looks
	}
	io.WriteString(c, "\r\n")
	answered()

	for !svc.closeIdle() {
	}
	if _, err := from.ReadByte(); err != io.EOF {
		t.Errorf("idle connection: %v, want it closed", err)
	}
}

// only reports whether the listener's one connection is in that state.
func only(l *listener, state http.ConnState) bool {
	book := l.tracks()
	return len(book) == 1 && http.ConnState(book[0].state.Load()) == state
}
