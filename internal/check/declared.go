package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
	"gapless.dev/kit/kittest"
)

// Declared is what a manifest says of a service: where it listens, how it is asked whether it is well, and how much time it has to stop.
// Zero fields are not said.
type Declared struct {
	Object, Container string
	Port              int
	Ready, Live       Endpoint
	Grace             time.Duration
	PreStop           time.Duration
	Drain             time.Duration // GAPLESS_DRAIN
	Readiness         kittest.Readiness
	Env               []string // literal variables, as NAME=value
	Startup           time.Duration
	// Unseen is what was there and cannot be used, in words.
	Unseen []string
}

// An Endpoint is where a health check asks. Path may be kittest.TCP or kittest.GRPC; empty where there is none.
type Endpoint struct {
	Path string
	Port int // 0: the service's own
}

// readinessAnnotation on pods declares what readiness does after SIGTERM.
const readinessAnnotation = "gapless.dev/readiness"

// Declare reads a manifest: the one workload in it that takes requests, and its container of that name, or the only one.
func Declare(name string, data []byte, container string) (Declared, error) {
	f, problems := manifest.Parse(name, data)
	if len(problems) > 0 {
		return Declared{}, fmt.Errorf("%v", problems[0])
	}
	w := lint.NewWorld([]*manifest.File{f}, nil, nil)
	one, c, err := serving(w, name, container)
	if err != nil {
		return Declared{}, err
	}
	b := w.BudgetOf(one, c)
	d := Declared{Object: one.ID(), Container: c.Name, Grace: b.Grace, PreStop: b.PreStop}
	if b.DrainSet {
		d.Drain = b.Drain
	}
	if b.HookUnknown {
		d.unseen("the preStop hook does more than sleep; only the %s that it sleeps are known", lint.Short(b.PreStop))
	}
	for _, p := range c.Get("ports").Items() {
		if protocol := p.Get("protocol").String(); protocol == "" || protocol == "TCP" {
			d.Port = p.Get("containerPort").Int(0)
			break
		}
	}
	d.Ready, d.Live = d.endpoint(c, "readinessProbe"), d.endpoint(c, "livenessProbe")
	d.environment(c)
	switch r := kittest.Readiness(one.Meta.Get("annotations", readinessAnnotation).String()); r {
	case kittest.Flip, kittest.ServeTerminating:
		d.Readiness = r
	}
	return d, nil
}

func (d *Declared) unseen(format string, args ...any) {
	d.Unseen = append(d.Unseen, fmt.Sprintf(format, args...))
}

// serving finds the container that is meant.
func serving(w *lint.World, name, container string) (*lint.Workload, lint.Container, error) {
	type found struct {
		one *lint.Workload
		c   lint.Container
	}
	var all []found
	var names []string
	for _, one := range w.Workloads {
		for _, c := range w.Serves(one) {
			names = append(names, one.ID()+" "+c.Name)
			if container == "" || c.Name == container {
				all = append(all, found{one, c})
			}
		}
	}
	switch {
	case len(all) == 1:
		return all[0].one, all[0].c, nil
	case len(names) == 0:
		return nil, lint.Container{}, fmt.Errorf("%s: there is no workload with a container that takes requests (with ports or a readinessProbe)", name)
	case len(all) == 0:
		return nil, lint.Container{}, fmt.Errorf("%s: there is no container %q: there are %s", name, container, strings.Join(names, ", "))
	}
	return nil, lint.Container{}, fmt.Errorf("%s: which container is it? There are %s: name one by --container, or give one workload", name, strings.Join(names, ", "))
}

// endpoint reads a probe.
func (d *Declared) endpoint(c lint.Container, probe string) Endpoint {
	v := c.Get(probe)
	port := func(at manifest.Value) int { return portOf(c, at) }
	switch {
	case !v.Exists():
		return Endpoint{}
	case v.Get("httpGet").Exists():
		if scheme := v.Get("httpGet", "scheme").String(); scheme == "HTTPS" {
			d.unseen("the %s asks over HTTPS, which is not tried here: name a path with --ready and --live", probe)
			return Endpoint{}
		}
		path := v.Get("httpGet", "path").String()
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		return Endpoint{path, port(v.Get("httpGet", "port"))}
	case v.Get("tcpSocket").Exists():
		return Endpoint{kittest.TCP, port(v.Get("tcpSocket", "port"))}
	case v.Get("grpc").Exists():
		return Endpoint{kittest.GRPC, port(v.Get("grpc", "port"))}
	}
	d.unseen("the %s runs a command in the container, which cannot be done here: name a path with --ready and --live", probe)
	return Endpoint{}
}

// portOf is a probe's port, which may be the name of one.
func portOf(c lint.Container, at manifest.Value) int {
	for _, p := range c.Get("ports").Items() {
		if name := p.Get("name").String(); name != "" && name == at.String() {
			return p.Get("containerPort").Int(0)
		}
	}
	return at.Int(0)
}

// environment takes the variables that are written out.
func (d *Declared) environment(c lint.Container) {
	var elsewhere []string
	for _, e := range c.Get("env").Items() {
		name := e.Get("name").String()
		switch {
		case e.Get("valueFrom").Exists():
			elsewhere = append(elsewhere, name)
		case name != "" && !strings.ContainsAny(name, "=\x00") && !strings.Contains(e.Get("value").String(), "\x00"):
			d.Env = append(d.Env, name+"="+e.Get("value").String())
		}
	}
	if c.Get("envFrom").Exists() {
		elsewhere = append(elsewhere, "those of envFrom")
	}
	if slices.Sort(elsewhere); len(elsewhere) > 0 {
		d.unseen("variables whose values are elsewhere: %s; give them with --env if the service needs them", strings.Join(elsewhere, ", "))
	}
}

// At is the endpoint in words.
func (e Endpoint) At() string {
	if e.Port == 0 {
		return e.Path
	}
	return e.Path + " on port " + strconv.Itoa(e.Port)
}
