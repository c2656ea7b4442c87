package wrap

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"gapless.dev/kit"
)

// A Mode says who owns the service's port, and with that what can be promised.
type Mode string

const (
	// HTTP hands requests over: it announces the end to each client, knows what is on its way, and says goodbye to streams.
	HTTP Mode = "http"
	// TCP hands connections over, whatever they carry: TLS that the command ends itself, databases, queues. It refuses nobody, and waits
	// for connections on which the command owes an answer. It cannot announce anything.
	TCP Mode = "tcp"
	// Signal leaves the port to the command and only delays its signal: until then everything is as without. What is lost after the
	// signal is the command's own matter.
	Signal Mode = "signal"
)

// Options say what is wrapped and how. Only Command or To is needed.
type Options struct {
	// Command is run without a shell; {port} in its words is replaced. Empty: what listens at To is somebody else's, such as another
	// container of the pod.
	Command []string
	Mode    Mode // default HTTP
	// Listen is where clients come to. Default: the port in PORT, or 8080, on every address.
	Listen string
	// To is the host:port that the command listens on. Default: a free port of the loopback, which it is told by PORT; in mode Signal Listen.
	To string
	// HTTP2 speaks HTTP/2 without TLS to the command. Without it that is only done for gRPC.
	HTTP2 bool
	// Fresh gives each request a connection of its own, to a command that serves one connection at a time.
	Fresh bool
	// Cert and Key are PEM files; with them clients speak TLS. Changed files are read again.
	Cert, Key string

	Ready Ready
	// Stop is what the command is sent to end. Default SIGTERM.
	Stop syscall.Signal
	// StopWithin is how long it may take after that, before it is killed. Default: what is left of the grace period.
	StopWithin time.Duration

	Budget    kit.Budget
	Readiness kit.Readiness
	Health    string // address of /livez, /readyz, /startupz and /statusz; empty is none
	Report    string // file of the drain report; see kit
	// DrainEndpoint adds /drain to the health listener.
	DrainEndpoint bool

	// Where the command, and wrap itself, print. Files, so that the command gets them without anybody in between.
	Stdin, Stdout, Stderr *os.File
}

// Ready says when the command can serve. Without Path and Exec: when To takes connections.
type Ready struct {
	Path     string   // an HTTP GET of it answers 200 to 399
	Exec     []string // it exits with 0
	Period   time.Duration
	Timeout  time.Duration
	Failures int // in a row, after which it is not ready any more
}

// An OptionError says what is wrong with the options, and what to give instead.
type OptionError struct{ text string }

func (e *OptionError) Error() string { return e.text }

func wrong(format string, args ...any) error { return &OptionError{fmt.Sprintf(format, args...)} }

// complete fills in what was left open, or says what cannot be.
func (o Options) complete() (Options, error) {
	o.Mode = cmp.Or(o.Mode, HTTP)
	o.Stop = cmp.Or(o.Stop, syscall.SIGTERM)
	o.Readiness = cmp.Or(o.Readiness, kit.Flip)
	o.Ready.Period, o.Ready.Timeout = cmp.Or(o.Ready.Period, time.Second), cmp.Or(o.Ready.Timeout, time.Second)
	o.Ready.Failures = cmp.Or(o.Ready.Failures, 3)
	o.Listen = cmp.Or(o.Listen, ":"+cmp.Or(os.Getenv("PORT"), "8080"))
	o.Stdin, o.Stdout, o.Stderr = cmp.Or(o.Stdin, os.Stdin), cmp.Or(o.Stdout, os.Stdout), cmp.Or(o.Stderr, os.Stderr)
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil || port == "" {
		return o, wrong("listen is %q: give an address with a port, such as :8080", o.Listen)
	}
	switch {
	case len(o.Command) == 0 && o.To == "":
		return o, wrong("nothing to wrap: give a command after --, or by to the address of what is served")
	case len(o.Command) == 0 && o.Mode == Signal:
		return o, wrong("mode signal delays the signal of a command, and there is none: give one after --, or another mode")
	case (o.Cert == "") != (o.Key == ""):
		return o, wrong("a certificate and its key belong together: give both files")
	case o.Cert != "" && o.Mode != HTTP:
		return o, wrong("mode %s passes TLS through, so it needs no certificate: leave it out, or take mode http", o.Mode)
	case (o.HTTP2 || o.Fresh) && o.Mode != HTTP:
		return o, wrong("mode %s does not look at what is spoken: leave h2c and fresh out, or take mode http", o.Mode)
	case o.HTTP2 && o.Fresh:
		return o, wrong("h2c has all requests on one connection, fresh each on its own: give one of the two")
	}
	switch {
	case o.Mode == Signal:
		o.To = cmp.Or(o.To, net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port))
	case o.To == "":
		free, err := freePort()
		if err != nil {
			return o, err
		}
		o.To = net.JoinHostPort("127.0.0.1", strconv.Itoa(free))
	}
	if _, p, err := net.SplitHostPort(o.To); err != nil || p == "" {
		return o, wrong("to is %q: give host:port, such as 127.0.0.1:3000", o.To)
	} else if p == port && o.Mode != Signal {
		return o, wrong("clients would come to port %s, which is the command's: give another one by listen, or by to", p)
	}
	return o, nil
}

// port is the one that the command listens on.
func (o Options) port() string {
	_, port, _ := net.SplitHostPort(o.To)
	return port
}

// vacant tells early that the address cannot be had. Nobody is to be let in before the command is ready, so it is only tried.
func vacant(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w: stop what listens there, or choose another port", addr, errors.Unwrap(err))
	}
	return ln.Close()
}

// freePort is above those that the system gives to outgoing connections, where it does so by Linux' default: one of those could hold it at
// the moment in which the command wants it. Who listens here on purpose is mostly below them.
func freePort() (int, error) {
	const first, last = 61000, 65535
	for range 1000 {
		n := first + rand.IntN(last-first+1)
		if !claim(n) {
			continue
		}
		// On every address: that is where most services listen.
		if ln, err := net.Listen("tcp", ":"+strconv.Itoa(n)); err == nil {
			return n, ln.Close()
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d for the command: give one by to", first, last)
}

// claim takes a port for as long as this process lives. Nobody listens there until the command does, which may take it a second; meanwhile
// another wrap, or gapless up, would find the port as free. Names that begin with @ are Linux' own and leave no file behind; elsewhere there is
// luck.
func claim(port int) bool {
	if runtime.GOOS != "linux" {
		return true
	}
	ln, err := net.Listen("unix", "@gapless-port-"+strconv.Itoa(port))
	if err != nil {
		return !errors.Is(err, syscall.EADDRINUSE)
	}
	claims.Lock()
	defer claims.Unlock()
	claims.held = append(claims.held, ln)
	return true
}

// claims are never given back.
var claims struct {
	sync.Mutex
	held []net.Listener
}
