package proxy

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"gapless.dev/gapless/internal/app"
)

// certs are the certificates of a port. Files that change on disk are read again at the next handshake.
type certs struct{ all []*cert }

type cert struct {
	host   string
	name   string // of the app
	files  app.TLS
	mu     sync.Mutex
	loaded *tls.Certificate
	at     [2]time.Time
}

func (c *certs) add(a app.App) error {
	one := &cert{host: plainHost(a.Route.Host), name: plainHost(a.Name + ".localhost"), files: a.TLS}
	if _, err := one.get(); err != nil {
		return fmt.Errorf("apps.%s.tls: certificate %s with key %s: %w: give PEM files that belong together", a.Name, a.TLS.Cert, a.TLS.Key, err)
	}
	c.all = append(c.all, one)
	return nil
}

// ServerTLS serves the certificate of two PEM files, and reads them again when they have changed.
func ServerTLS(certFile, keyFile string) (*tls.Config, error) {
	one := &cert{files: app.TLS{Cert: certFile, Key: keyFile}}
	if _, err := one.get(); err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w: give PEM files that belong together", certFile, keyFile, err)
	}
	return (&certs{all: []*cert{one}}).config(), nil
}

func (c *certs) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := plainHost(hello.ServerName)
			for _, one := range c.all {
				if name == one.host || name == one.name {
					return one.get()
				}
			}
			return c.all[0].get()
		},
	}
}

// get keeps the last good pair: half a renewal on disk must not end the service.
func (c *cert) get() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := [2]time.Time{changed(c.files.Cert), changed(c.files.Key)}
	if c.loaded != nil && at == c.at {
		return c.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		if c.loaded != nil {
			return c.loaded, nil
		}
		return nil, err
	}
	c.loaded, c.at = &pair, at
	return c.loaded, nil
}

func changed(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
