// Package app is the app file, gapless.yaml: parsed, checked and with its defaults filled in. It is pure.
package app

import (
	"time"

	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

// A File is a whole gapless.yaml.
type File struct {
	// Bind is the address that the ports are opened on. Default 127.0.0.1: nothing is reachable from outside unless it is asked for.
	Bind string
	// Group says what becomes of the other apps when one fails.
	Group Group
	// Apps in the order of the file. A file without "apps:" holds one.
	Apps []App
	// Lines tells on which line a field stands, by its path, for problems that are found after the file was read.
	Lines map[string]int
}

// A Group is the apps of a file as a whole.
type Group struct {
	// Name marks what the file has put into a cluster. Empty: an app that leaves the file is left alone.
	Name string
	// Hold leaves those standing that were rolled before one failed. Default: they are taken back, too.
	Hold bool
}

// An App is one service.
type App struct {
	Name string
	// Image is what a cluster runs; empty: the app is for one machine only.
	Image Image
	// Command is run without a shell, on one machine; empty: the app is for a cluster only. {version}, {config} and {port} (or {port.NAME})
	// are replaced in each word, also in Dir, Env and the words of Image.
	Command []string
	Dir     string
	Env     map[string]string
	// Secrets are the variables that come from Secrets, by name.
	Secrets map[string]SecretKey
	Config  []ConfigFile
	Version rollout.Version
	// Replicas is how many instances serve. Default 1. Of a range it is the least.
	Replicas int
	// Autoscale is the range on a cluster; Max 0: there is none.
	Autoscale Autoscale
	// Ports by name: the public port that the proxy or the Service opens. The process gets its own loopback port in PORT (the first or
	// only one) and PORT_NAME.
	Ports []Port
	Route Route
	// TLS names certificate and key files; empty: plain HTTP.
	TLS       TLS
	Health    Health
	Stop      Stop
	Resources Resources
	// Labels of the pods, by which they are selected on a cluster. Nil: one with the name.
	Labels map[string]string
	// Account is a ServiceAccount that is there already. Empty: one is made.
	Account string
	// Kubernetes is what only Kubernetes knows.
	Kubernetes Kubernetes
	Metrics    Metrics
	Limits     Limits
	Helpers    []Helper
	// After are the apps of the file that have to stand in their new version before this one begins.
	After []string
	// Follow is the repository whose tags decide which version is wanted. Nil: people do.
	Follow *Follow
	// Gates are asked whether a rollout may go on, with their defaults. The plan knows of them, too.
	Gates []spec.Gate
	// Notify lists who is told what happens.
	Notify []spec.Notify
	// Plan is the strategy with its defaults.
	Plan rollout.Plan
}

// An Image is what a cluster runs.
type Image struct {
	Name          string
	Command, Args []string
	// Container is what the container is called. Empty: app.
	Container string
}

// Kubernetes holds fields of a PodSpec and of a Container as they stand.
type Kubernetes struct{ Pod, Container map[string]any }

// A SecretKey is a place in a Secret. On one machine the variable of the same name in Gapless' own environment stands in for it.
type SecretKey struct{ Secret, Key string }

// A ConfigFile is a file that the service finds in the folder GAPLESS_CONFIG: Text, or what File holds, which whoever starts the app reads.
type ConfigFile struct{ Name, Text, File string }

// Autoscale is a range of replicas.
type Autoscale struct {
	Min, Max int
	// CPU is the use of the processors asked for that is aimed at, in percent.
	CPU int
}

// A Port is a named public port.
type Port struct {
	Name   string
	Public int
	// Target is the port in the container. 0: the same.
	Target int
	// Inner is set for a port that no client uses: it is for checks and metrics.
	Inner bool
}

// Inside is the port that a container listens on.
func (p Port) Inside() int {
	if p.Target != 0 {
		return p.Target
	}
	return p.Public
}

// A Route says which requests are an app's. Both empty: all of its port. NAME.localhost is always the app's.
type Route struct {
	Host string
	Path string // prefix, matched at slashes
	// Sticky, if set, is the name of the cookie that keeps a client on one instance.
	Sticky string
	// Router leads the requests on a cluster: one of Routers. Empty: a Service is all there is.
	Router string
	// Class of an Ingress, Gateway as NAME or NAMESPACE/NAME, and EntryPoints of Traefik.
	Class, Gateway string
	EntryPoints    []string
}

// TLS holds files in PEM form, and the Secret that stands for them on a cluster.
type TLS struct{ Cert, Key, Secret string }

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

// Resources of an instance on a cluster, as quantities of Kubernetes; empty: nothing is said.
type Resources struct{ CPU, Memory, CPULimit, MemoryLimit string }

// Metrics is where Prometheus finds them on a cluster. An empty Path: nowhere.
type Metrics struct{ Path, Port string }

// Limits bound what the proxy accepts for an app. Zero means the default.
type Limits struct {
	BodyBytes   int64         // default: no limit
	HeaderBytes int           // default 1 MiB
	Timeout     time.Duration // to the first byte of an answer, and before it to the next one of a body; default 60 s
	InFlight    int           // requests at once, of the whole app; default 10,000
}

// A Helper is a process beside each instance (a sidecar): started before it, stopped after it.
type Helper struct {
	Name      string
	Image     Image
	Command   []string
	Env       map[string]string
	Secrets   map[string]SecretKey
	Ready     Check
	Resources Resources
}
