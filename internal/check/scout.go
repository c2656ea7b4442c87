package check

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"gapless.dev/kit/kittest"
)

// Asked is what somebody has said of the service already; what is empty is to be found out.
type Asked struct {
	Port       int // where it listens, unless it can be told another
	HealthPort int // where its health is served, if elsewhere
	Ready      string
	Live       string
	Path       string
	Startup    time.Duration
}

// Declared takes from a manifest what nobody has said otherwise.
func (a *Asked) Declared(d Declared) {
	if a.Port == 0 {
		a.Port = d.Port
	}
	own := func(port int) bool { return port == 0 || port == a.Port }
	if a.Ready == "" && d.Ready.Path != "" {
		a.Ready = d.Ready.Path
		if a.HealthPort == 0 && !own(d.Ready.Port) {
			a.HealthPort = d.Ready.Port
		}
	}
	// Both are asked on one port; a liveness elsewhere is looked for there.
	if a.Live == "" && d.Live.Path != "" && (d.Live.Port == d.Ready.Port || own(d.Live.Port) && own(d.Ready.Port)) {
		a.Live = d.Live.Path
	}
}

// Found is what a first, short run of the service has shown.
type Found struct {
	Port       int // it listens there and cannot be told; 0: it listens where PORT says
	HealthPort int // as Port; 0 and not SamePort: it serves health where GAPLESS_HEALTH says
	SamePort   bool
	Ready      string
	Live       string
	HTTP2      bool
	GRPC       bool
	GRPCPort   int    // 0: on the service's own port
	Path       string // what the load asks for
	// Facts say what was found, for people.
	Facts []string
}

// The paths that are tried, the commonest first.
var (
	readyPaths = []string{"/readyz", "/ready", "/health/ready", "/healthz/ready", "/actuator/health/readiness", "/q/health/ready", "/-/ready", "/healthz", "/health"}
	livePaths  = []string{"/livez", "/live", "/health/live", "/healthz/live", "/actuator/health/liveness", "/q/health/live", "/-/healthy", "/healthz", "/health"}
	otherPaths = []string{"/version", "/info", "/metrics", "/index.html", "/favicon.ico"}
)

// Scout starts the program once and finds out where it listens and how it is asked. An error means that it did not get as far as listening.
func Scout(ctx context.Context, c kittest.Command, asked Asked, doing func(string)) (Found, error) {
	c.Port, c.HealthPort, c.GRPCPort, c.SamePort = 0, 0, 0, false
	if asked.Port != 0 && dials(ctx, asked.Port) {
		return Found{}, fmt.Errorf("port %d is taken already, by something else", asked.Port)
	}
	doing("starting it once, to see where it listens")
	in, err := c.Start(ctx)
	if err != nil {
		return Found{}, err
	}
	defer in.Kill()
	defer context.AfterFunc(ctx, in.Kill)()
	s := &scout{in: in, asked: asked, told: portOfAddr(in.Addr()), health: portOfAddr(in.HealthAddr())}
	if err := s.untilItListens(ctx); err != nil {
		return Found{}, err
	}
	doing("asking it for its health")
	if s.speaksTLS(ctx) {
		return s.found, &UnsaidError{fmt.Sprintf("port %d speaks TLS, and check asks over plain HTTP: name a plain port with --port, "+
			"or have the service serve plain HTTP (gapless wrap --cert ends TLS before it)", s.service)}
	}
	s.ask(ctx)
	if err := s.chooseLoad(ctx); err != nil {
		return s.found, err
	}
	return s.found, ctx.Err()
}

// An UnsaidError is about what only a person can say or change: the service runs, and cannot be judged as it was asked for.
type UnsaidError struct{ text string }

func (e *UnsaidError) Error() string { return e.text }

type scout struct {
	in           kittest.Instance
	asked        Asked
	told, health int   // the ports that it was told
	ports        []int // where it listens
	service      int   // of them, where it serves
	found        Found
}

func (s *scout) fact(format string, args ...any) {
	s.found.Facts = append(s.found.Facts, fmt.Sprintf(format, args...))
}

// settle is how long a program may take from its first listener to its last.
const settle = 300 * time.Millisecond

// untilItListens waits until the service's port is known.
func (s *scout) untilItListens(ctx context.Context) error {
	limit := time.Now().Add(s.asked.Startup)
	for {
		if s.look(ctx) {
			pause(ctx, settle)
			s.look(ctx)
			return s.choose(ctx)
		}
		select {
		case <-s.in.Exited():
			return fmt.Errorf("exited with %v before it listened%s", s.in.Exit(), kittest.LastWords(s.in))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(limit) {
			return fmt.Errorf("it does not listen on %s after %v (PORT said %d)%s", s.where(), s.asked.Startup, s.told, kittest.LastWords(s.in))
		}
	}
}

func (s *scout) where() string {
	if s.asked.Port != 0 {
		return "port " + strconv.Itoa(s.asked.Port)
	}
	return "any port"
}

// look finds out where it listens now, and whether that is enough to go on.
func (s *scout) look(ctx context.Context) bool {
	ports, known := listening(s.in.Orphans())
	if !known {
		for _, port := range []int{s.told, s.asked.Port, s.health} {
			if port != 0 && dials(ctx, port) {
				ports = append(ports, port)
			}
		}
	}
	s.ports = ports
	switch {
	case slices.Contains(ports, s.told):
		return true
	case s.asked.Port != 0:
		return slices.Contains(ports, s.asked.Port)
	}
	return slices.ContainsFunc(ports, func(p int) bool { return p != s.health })
}

// choose says which port is the service's.
func (s *scout) choose(ctx context.Context) error {
	own := slices.DeleteFunc(slices.Clone(s.ports), func(p int) bool { return p == s.health || p == s.asked.HealthPort && p != s.told })
	switch {
	case slices.Contains(s.ports, s.told):
		s.service = s.told
		s.fact("it listens where PORT says")
		return nil
	case s.asked.Port != 0:
		s.service, s.found.Port = s.asked.Port, s.asked.Port
		s.fact("it listens on port %d whatever PORT says, so it runs once at a time", s.service)
		return nil
	}
	if len(own) > 1 {
		// One of them may be for health and metrics alone.
		own = slices.DeleteFunc(own, func(p int) bool { return !s.serves(ctx, p, path(s.asked.Path)) })
	}
	if len(own) != 1 {
		return fmt.Errorf("it listens on ports %v: say which is the service's, with --port", s.ports)
	}
	s.service, s.found.Port = own[0], own[0]
	s.fact("it listens on port %d whatever PORT says, so it runs once at a time", s.service)
	return nil
}

func path(asked string) string {
	if asked == "" {
		return "/"
	}
	return asked
}

// ask finds protocols and health.
func (s *scout) ask(ctx context.Context) {
	s.found.Path = path(s.asked.Path)
	speaks := SpokenAt(ctx, loopback(s.service), s.found.Path)
	s.found.GRPC, s.found.HTTP2 = speaks.GRPC, speaks.HTTP2
	if !s.found.GRPC {
		for _, port := range s.ports {
			if port != s.service && port != s.health && kittest.Asks(ctx, loopback(port), kittest.GRPC).Reached {
				s.found.GRPC, s.found.GRPCPort = true, port
			}
		}
	}
	switch {
	case s.found.GRPC && s.found.GRPCPort == 0 && !speaks.HTTP && s.asked.Path == "":
		s.found.Path = kittest.HealthMethod
		s.fact("it speaks gRPC; the load calls %s", s.found.Path)
	case s.found.GRPCPort != 0:
		s.fact("it speaks gRPC on port %d", s.found.GRPCPort)
	case s.found.GRPC:
		s.fact("it speaks HTTP and gRPC on one port")
	}
	s.findHealth(ctx)
}

// speaksTLS reports whether the service ends TLS itself: it does not answer plain HTTP, or with 400, and shakes hands.
func (s *scout) speaksTLS(ctx context.Context) bool {
	if a := kittest.Asks(ctx, loopback(s.service), "/"); a.Reached && a.Status != 400 {
		return false
	}
	// Whose certificate it is does not matter: nothing is sent.
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Second}, Config: &tls.Config{InsecureSkipVerify: true}}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", loopback(s.service))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// chooseLoad finds another path for the load where nobody named one and "/" is refused: that is no loss, but would count as one.
// Readiness is none: what it says in the drain is no loss either.
func (s *scout) chooseLoad(ctx context.Context) error {
	if s.asked.Path != "" || s.found.Path != "/" {
		return nil
	}
	status := s.refuses(ctx, "/")
	if status == 0 {
		return nil
	}
	paths := slices.Concat([]string{s.found.Live}, livePaths, otherPaths)
	paths = slices.DeleteFunc(paths, func(p string) bool {
		return !strings.HasPrefix(p, "/") || p == s.found.Ready && p != s.found.Live
	})
	for _, path := range paths {
		if a := kittest.Asks(ctx, loopback(s.service), path); a.Reached && a.Status/100 == 2 {
			s.found.Path = path
			s.found.HTTP2 = SpokenAt(ctx, loopback(s.service), path).HTTP2
			s.fact("/ answers %d, so the load asks for %s; name another path with --path", status, path)
			return nil
		}
	}
	return &UnsaidError{fmt.Sprintf("/ answers %d on port %d, and no other path is known that the load could ask for: name one that answers 2xx with --path", status, s.service)}
}

// refuses is the 4xx with which a path is answered, each time; else 0.
func (s *scout) refuses(ctx context.Context, path string) (status int) {
	for range 3 {
		a := kittest.Asks(ctx, loopback(s.service), path)
		if !a.Reached || a.Status/100 != 4 {
			return 0
		}
		status = a.Status
	}
	return status
}

// Protocols are what is spoken at an address. HTTP2 is HTTP/2 without TLS.
type Protocols struct{ HTTP, HTTP2, GRPC bool }

// SpokenAt finds out what is spoken at an address, by asking for a path there.
func SpokenAt(ctx context.Context, addr, path string) Protocols {
	var p Protocols
	a := kittest.Asks(ctx, addr, path)
	p.HTTP = a.Reached && a.Status != 404
	p.GRPC = kittest.Asks(ctx, addr, kittest.GRPC).Reached
	p.HTTP2 = p.HTTP && kittest.AsksHTTP2(ctx, addr, path)
	return p
}

// serves reports whether HTTP is answered on a port, and not with "no such thing".
func (s *scout) serves(ctx context.Context, port int, path string) bool {
	a := kittest.Asks(ctx, loopback(port), path)
	return a.Reached && a.Status != 404
}

// findHealth finds readiness and liveness: those that were named, on whichever port answers them, or usual ones.
func (s *scout) findHealth(ctx context.Context) {
	// Whoever serves health where it was told to means it: the port of a wrapped service answers in the service's own name.
	var ports []int
	for _, port := range append([]int{s.asked.HealthPort, s.health, s.service}, s.ports...) {
		if slices.Contains(s.ports, port) && !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	if s.asked.HealthPort != 0 {
		ports = []int{s.asked.HealthPort}
	}
	port := s.service
	switch s.found.Ready = s.asked.Ready; {
	case s.asked.HealthPort != 0:
		port = s.asked.HealthPort
	case s.asked.Ready == kittest.TCP:
	case s.asked.Ready == kittest.GRPC:
		if s.found.GRPCPort != 0 {
			port = s.found.GRPCPort
		}
	case s.asked.Ready != "":
		// A named path may be on the port for health.
		for _, p := range ports {
			if s.serves(ctx, p, s.asked.Ready) {
				port = p
				break
			}
		}
	}
	if s.found.Ready == "" {
		port, s.found.Ready = s.usual(ctx, ports, readyPaths)
	}
	if s.found.Ready == "" && s.found.GRPC {
		s.found.Ready = kittest.GRPC
		if port = s.service; s.found.GRPCPort != 0 {
			port = s.found.GRPCPort
		}
	}
	if s.found.Ready == "" {
		port, s.found.Ready = s.service, kittest.TCP
		s.fact("no readiness endpoint was found (%s): it counts as ready when it accepts connections; name one with --ready", strings.Join(readyPaths, " "))
	}
	if s.found.Live = s.asked.Live; s.found.Live == "" {
		if _, s.found.Live = s.usual(ctx, []int{port}, livePaths); s.found.Live == "" {
			s.found.Live = kittest.None
			s.fact("no liveness endpoint was found on port %d; name one with --live", port)
		}
	}
	s.place(port)
}

// place says where health is served, in the terms of a later start.
func (s *scout) place(port int) {
	switch port {
	case s.service:
		s.found.SamePort = true
	case s.health:
	default:
		s.found.HealthPort = port
	}
}

// usual finds the first of some paths that is really there: it is answered, and not like a path that certainly is not there.
func (s *scout) usual(ctx context.Context, ports []int, paths []string) (port int, found string) {
	for _, port := range ports {
		nonsense := "/" + random()
		none := kittest.Asks(ctx, loopback(port), nonsense)
		if !none.Reached {
			continue
		}
		for _, path := range paths {
			a := kittest.Asks(ctx, loopback(port), path)
			same := a.Status == none.Status && strings.ReplaceAll(a.Body, path, "") == strings.ReplaceAll(none.Body, nonsense, "")
			if a.Reached && a.Status != 404 && a.Status != 405 && !same {
				return port, path
			}
		}
	}
	return 0, ""
}

func random() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func portOfAddr(addr string) int {
	_, text, _ := strings.Cut(addr, ":")
	port, _ := strconv.Atoi(text)
	return port
}

func dials(ctx context.Context, port int) bool {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", loopback(port))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
