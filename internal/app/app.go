// Package app is the app file, gapless.yaml: parsed, checked and with its defaults filled in. It is pure.
package app

import (
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// A File is a whole gapless.yaml.
type File struct {
	// Bind is the address that the ports are opened on. Default 127.0.0.1: nothing is reachable from outside unless it is asked for.
	Bind string
	// Apps in the order of the file. A file without "apps:" holds one.
	Apps []App
	// Lines tells on which line a field stands, by its path, for problems that are found after the file was read.
	Lines map[string]int
}

// An App is one service.
type App struct {
	Name string
	// Command is run without a shell. {version} and {port} (or {port.NAME}) are replaced in each word, also in Dir and Env.
	Command []string
	Dir     string
	Env     map[string]string
	Version rollout.Version
	// Replicas is how many processes serve. Default 1.
	Replicas int
	// Ports by name: the public port that the proxy opens. The process gets its own loopback port in PORT (the first or only one) and PORT_NAME.
	Ports []Port
	Route Route
	// TLS names certificate and key files; empty: plain HTTP.
	TLS     TLS
	Health  Health
	Stop    Stop
	Limits  Limits
	Helpers []Helper
	// Plan is the strategy with its defaults.
	Plan rollout.Plan
}

// A Port is a named public port.
type Port struct {
	Name   string
	Public int
}

// A Route says which requests are an app's. Both empty: all of its port. NAME.localhost is always the app's.
type Route struct {
	Host string
	Path string // prefix, matched at slashes
	// Sticky, if set, is the name of the cookie that keeps a client on one instance.
	Sticky string
}

// TLS holds files in PEM form.
type TLS struct{ Cert, Key string }

// Health holds the checks, with the meaning and defaults of the Kubernetes fields.
type Health struct {
	Ready Check
	Live  Check
	// Startup is how long the service may take to be ready for the first time. Until then liveness is not asked. Default 60 s.
	Startup time.Duration
}

// A Check asks an instance over HTTP, TCP or by a command. At most one of Path, TCP and Exec is set; none: no check.
type Check struct {
	Path    string            // GET; 200 to 399 is well
	Headers map[string]string // sent with the GET
	Port    string            // name of the port; default the first
	TCP     bool
	Exec    []string // exit 0 is well

	InitialDelay     time.Duration // default 0
	Period           time.Duration // default 10 s in Kubernetes; here 1 s for readiness and 10 s for liveness
	Timeout          time.Duration // default 1 s
	FailureThreshold int           // default 3
	SuccessThreshold int           // default 1
}

// Set tells whether the check asks anything.
func (c Check) Set() bool { return c.Path != "" || c.TCP || len(c.Exec) > 0 }

// Stop is the stop budget of an instance.
type Stop struct {
	// Drain is how long an instance is kept running after the proxy has stopped sending to it. Default 5 s on a cluster;
	// on one machine the proxy knows when the last answer has left, so it is an upper bound.
	Drain time.Duration
	// Grace is the time from SIGTERM to SIGKILL. Default 30 s.
	Grace time.Duration
}

// Limits bound what the proxy accepts for an app. Zero means the default.
type Limits struct {
	BodyBytes   int64         // default: no limit
	HeaderBytes int           // default 1 MiB
	Timeout     time.Duration // to the first byte of an answer; default 60 s
	InFlight    int           // requests at once, of the whole app; default 10,000
}

// A Helper is a process beside each instance (a sidecar): started before it, stopped after it.
type Helper struct {
	Name    string
	Command []string
	Env     map[string]string
	Ready   Check
}
