// Package kit makes a Go service replaceable without loss: it keeps serving
// while the world forgets about it, ends what is on its way, and then stops
// in order, inside the time that the platform gives it.
//
// The first line of use is a swap:
//
//	kit.ListenAndServe(":8080", mux) // was http.ListenAndServe
//
// Everything else is opt-in, see [New]. The package depends on the standard
// library only, has no package state and starts nothing before it is asked to.
package kit

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
)

// ListenAndServe is http.ListenAndServe for a service that is going to be
// replaced: on SIGTERM or SIGINT it drains as [Service.Run] does, and then
// ends the process with Run's exit code. So it returns only when the service
// could not start or failed while serving, always with a non-nil error, and
// log.Fatal(kit.ListenAndServe(...)) means what it always meant.
//
// It reads the environment as [New] does. With GAPLESS_HEALTH=:8081 it also
// serves /livez, /readyz, /startupz and /statusz there; to serve them on the
// service's own port, mount [Readyz] and [Livez] on its mux. What the process
// was doing in other goroutines ends with it, as it did without kit.
func ListenAndServe(addr string, handler http.Handler) error {
	return swap(&http.Server{Addr: addr, Handler: handler})
}

// ListenAndServeTLS is [ListenAndServe] over TLS, as http.ListenAndServeTLS is:
// HTTP/1 and HTTP/2, with a certificate and its key in PEM files.
func ListenAndServeTLS(addr, certFile, keyFile string, handler http.Handler) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return fmt.Errorf("certificate for %s: %w", addr, err)
	}
	return swap(&http.Server{
		Addr:      addr,
		Handler:   handler,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	})
}

// swap runs one server and leaves the process when it was asked to stop:
// returning nil would make log.Fatal report a clean stop as a failure.
func swap(srv *http.Server) error {
	svc := New()
	svc.HTTP("http", srv)
	code := svc.Run(context.Background())
	if err := svc.Err(); err != nil {
		return err
	}
	os.Exit(code)
	return nil
}
