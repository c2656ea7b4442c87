package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
)

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestHTTP2_WithoutTLS(t *testing.T) {
	w := newWorld(t, app.App{})
	w.add("1", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Proto) })
	w.route(rollout.Weights{"1": 100})
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	w.http.Transport = tr
	res, body := w.do("GET", "/", nil)
	if res.ProtoMajor != 2 || body != "HTTP/1.1" {
		t.Errorf("%s to us, %s to the service", res.Proto, body)
	}
}

func TestHTTP2_GRPCReachesTheServiceAsHTTP2(t *testing.T) {
	w := newWorld(t, app.App{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		rw.Header().Set("Trailer", "Grpc-Status")
		fmt.Fprint(rw, r.Proto)
		rw.Header().Set("Grpc-Status", "0")
	})}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	w.a.Add("1", "h2", map[string]string{"http": l.Addr().String()})
	w.route(rollout.Weights{"1": 100})
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	w.http.Transport = tr
	res, body := w.do("POST", "/pkg.Service/Method", func(r *http.Request) { r.Header.Set("Content-Type", "application/grpc") })
	if body != "HTTP/2.0" || res.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("%q, trailer %v", body, res.Trailer)
	}
}

func TestTLS_ServesHTTP2AndReadsARenewedCertificate(t *testing.T) {
	dir := t.TempDir()
	files := app.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	writeCert(t, files, 1)
	w := newWorld(t, app.App{TLS: files})
	w.add("1", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Header.Get("X-Forwarded-Proto")) })
	w.route(rollout.Weights{"1": 100})
	w.base = "https" + w.base[len("http"):]
	serial := func() int64 {
		w.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "demo.localhost"}, ForceAttemptHTTP2: true}
		res, body := w.do("GET", "/", nil)
		if res.ProtoMajor != 2 || body != "https" {
			t.Errorf("%s, %q", res.Proto, body)
		}
		return res.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if n := serial(); n != 1 {
		t.Errorf("certificate %d", n)
	}
	writeCert(t, files, 2)
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(files.Cert, later, later); err != nil {
		t.Fatal(err)
	}
	if n := serial(); n != 2 {
		t.Errorf("certificate %d after the renewal", n)
	}
	if err := os.WriteFile(files.Key, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := serial(); n != 2 {
		t.Errorf("certificate %d with a broken file on disk", n)
	}
}

func writeCert(t *testing.T, files app.TLS, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	like := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"demo.localhost"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, like, like, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: cert}, files.Key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
