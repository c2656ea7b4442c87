// Package proxy is the reverse proxy of one machine: hosts and paths to apps, weights to versions, and the least busy instance.
//
// It knows for each instance how many requests are on it. So an instance can be taken out and stopped at the very moment in
// which its last answer has left. All that a request reads is immutable and swapped whole.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/rollout"
)

// A Proxy listens on the public ports of some apps. New makes one.
type Proxy struct {
	apps  map[string]*App
	ports []*port
	serve sync.Once
}

// A Port is a public port that is open.
type Port struct {
	App, Name string
	Address   string // host:port, also where the file said port 0
	TLS       bool
}

// New opens all public ports of apps on the address bind, or none: its error names the port and the app. Connections wait in the
// kernel's queue until Serve.
func New(bind string, apps []app.App) (*Proxy, error) {
	if bind == "" {
		bind = "127.0.0.1"
	}
	p := &Proxy{apps: make(map[string]*App, len(apps))}
	for _, a := range apps {
		p.apps[a.Name] = newApp(a)
	}
	byNumber := map[int]*port{}
	for _, a := range apps {
		for _, ap := range a.Ports {
			if ap.Inner {
				continue
			}
			pt := byNumber[ap.Public]
			if pt == nil || ap.Public == 0 {
				pt = &port{number: ap.Public, bind: bind}
				p.ports = append(p.ports, pt)
				byNumber[ap.Public] = pt
			}
			if err := pt.add(a, ap.Name, p.apps[a.Name]); err != nil {
				return nil, err
			}
		}
	}
	for _, a := range apps {
		if a.Plan.Strategy == rollout.BlueGreen && p.apps[a.Name+previewSuffix] == nil {
			for _, pt := range p.ports {
				pt.addPreview(p.apps[a.Name])
			}
		}
	}
	for _, pt := range p.ports {
		if err := pt.listen(); err != nil {
			p.closeListeners()
			return nil, err
		}
	}
	return p, nil
}

// App returns the app of that name, or nil.
func (p *Proxy) App(name string) *App { return p.apps[name] }

// Ports lists the open ports, one entry for each app on each.
func (p *Proxy) Ports() []Port {
	var all []Port
	for _, pt := range p.ports {
		for _, o := range pt.owners {
			all = append(all, Port{App: o.app, Name: o.name, Address: pt.listener.Addr().String(), TLS: pt.certs != nil})
		}
	}
	return all
}

// Serve begins to answer. It returns at once.
func (p *Proxy) Serve() {
	p.serve.Do(func() {
		for _, pt := range p.ports {
			go pt.serve()
		}
	})
}

// Close stops taking connections, lets what is on its way finish until ctx ends, and cuts the rest.
func (p *Proxy) Close(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, pt := range p.ports {
		wg.Go(func() { _ = pt.server.Shutdown(ctx) })
	}
	wg.Wait()
	// Shutdown does not know connections that were upgraded; their apps do.
	for _, a := range p.apps {
		select {
		case <-a.quiet():
		case <-ctx.Done():
		}
	}
	var errs []error
	for _, pt := range p.ports {
		if err := pt.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	p.closeListeners()
	for _, a := range p.apps {
		a.close()
	}
	return errors.Join(errs...)
}

func (p *Proxy) closeListeners() {
	for _, pt := range p.ports {
		if pt.listener != nil {
			pt.listener.Close()
		}
	}
}

// A port is one listener and the apps that share it.
type port struct {
	bind   string
	number int
	owners []owner
	routes table
	certs  *certs // nil: plain HTTP

	headerBytes int
	listener    net.Listener
	server      *http.Server
}

type owner struct{ app, name string }

func (pt *port) add(a app.App, name string, to *App) error {
	first := len(pt.owners) == 0
	if hasTLS := a.TLS.Cert != ""; !first && hasTLS != (pt.certs != nil) {
		return fmt.Errorf("apps.%s.tls: port %d is shared with app %s, and only one of the two has tls: give both certificates, or other ports", a.Name, pt.number, pt.owners[0].app)
	}
	if a.TLS.Cert != "" {
		if pt.certs == nil {
			pt.certs = &certs{}
		}
		if err := pt.certs.add(a); err != nil {
			return err
		}
	}
	for _, host := range []string{a.Route.Host, a.Name + ".localhost"} {
		path := a.Route.Path
		if host != a.Route.Host {
			path = "" // under its own name an app is asked for nothing else
		}
		if other := pt.routes.add(host, path, target{app: to, port: name}); other != nil && other.app != to {
			return fmt.Errorf("apps.%s.route: host %q with path %q on port %d is app %s's already: give one of them another host, path or port", a.Name, host, path, pt.number, other.app.name)
		}
	}
	pt.headerBytes = max(pt.headerBytes, a.Limits.HeaderBytes)
	pt.owners = append(pt.owners, owner{a.Name, name})
	return nil
}

// previewSuffix makes of an app's name the one under which its candidate can be looked at, as on Kubernetes.
const previewSuffix = "-preview"

// addPreview gives the app's candidate a name, unless that is somebody's already.
func (pt *port) addPreview(a *App) {
	host := a.name + previewSuffix + ".localhost"
	for _, o := range pt.owners {
		if o.app == a.name && !pt.routes.has(host) {
			pt.routes.add(host, "", target{app: a, port: o.name, preview: true})
		}
	}
}

func (pt *port) listen() error {
	l, err := net.Listen("tcp", net.JoinHostPort(pt.bind, strconv.Itoa(pt.number)))
	if err != nil {
		return fmt.Errorf("apps.%s.ports.%s: cannot listen on port %d of %s: %w: stop what listens there, or choose another port",
			pt.owners[0].app, pt.owners[0].name, pt.number, pt.bind, errors.Unwrap(err))
	}
	pt.listener = l
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	pt.server = &http.Server{
		Handler:           http.HandlerFunc(pt.handle),
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		// Longer than clients keep a connection: the side that closes an idle connection first can cost the other a request.
		IdleTimeout:    3 * time.Minute,
		MaxHeaderBytes: pt.headerBytes, // 0 is 1 MiB
		ErrorLog:       quiet,
	}
	if pt.certs != nil {
		pt.server.TLSConfig = pt.certs.config()
	}
	return nil
}

func (pt *port) serve() {
	if pt.certs != nil {
		_ = pt.server.ServeTLS(pt.listener, "", "")
		return
	}
	_ = pt.server.Serve(pt.listener)
}

func (pt *port) handle(w http.ResponseWriter, r *http.Request) {
	t := pt.routes.find(r.Host, r.URL.Path)
	if t == nil {
		refuse(w, http.StatusNotFound, "no app has a route for host %q and path %q here; apps on this port: %s", r.Host, r.URL.Path, pt.names())
		return
	}
	if t.preview && t.app.now.Load().shown == nil {
		refuse(w, http.StatusNotFound, "%s has no candidate that could be looked at now", t.app.name)
		return
	}
	t.app.handle(w, r, t)
}

func (pt *port) names() []string {
	var all []string
	for _, o := range pt.owners {
		if !slices.Contains(all, o.app) {
			all = append(all, o.app)
		}
	}
	return all
}
