package world

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Serve answers the API server, by HTTPS and for the time of the test, at the address of the host that the test runs on. It returns that
// address and port, and the certificate to trust.
func (w *World) Serve(h http.Handler) (host string, port int, ca []byte) {
	w.Helper()
	at, err := url.Parse(w.Config.Host)
	Check(w.T, err)
	host = at.Hostname() // the API server's host is ours
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Check(w.T, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, IPAddresses: []net.IP{net.ParseIP(host)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	Check(w.T, err)
	l, err := tls.Listen("tcp", net.JoinHostPort(host, "0"), &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12,
	})
	Check(w.T, err)
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go s.Serve(l) //nolint:errcheck // ends with the test
	w.Cleanup(func() { _ = s.Close() })
	return host, l.Addr().(*net.TCPAddr).Port, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}
