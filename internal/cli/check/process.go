package check

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"gapless.dev/gapless/internal/check"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/kit/kittest"
)

// process is the service as a program on this machine.
type process struct {
	o        *Options
	declared check.Declared
	spec     kittest.Spec
	args     []string
	facts    []string
	service  check.Service
}

func (p *process) subject() string { return strings.Join(p.args, " ") }

// several is how many instances run at once, and how often each kind of stop is tried, where ports can be told.
const (
	atOnce  = 6
	usually = 5
)

// target finds out what is not said, by a first run.
func (p *process) target(ctx context.Context, doing func(string)) (kittest.Target, error) {
	path, err := exec.LookPath(p.args[0])
	if err != nil {
		return nil, exit.Usagef("%s cannot be started: %w", p.args[0], err)
	}
	c := &kittest.Command{Declared: p.spec, Path: path, Args: p.args[1:], Env: append(p.declared.Env, p.o.env...)}
	asked := check.Asked{
		Port: p.o.port, HealthPort: p.o.healthPort, Ready: p.o.ready, Live: p.o.live, Path: p.o.path, Startup: p.spec.Startup,
	}
	asked.Declared(p.declared)
	found, err := check.Scout(ctx, *c, asked, doing)
	p.facts = append(p.facts, found.Facts...)
	if err != nil {
		return nil, err
	}
	s := &c.Declared
	c.Port, c.HealthPort, c.GRPCPort, c.SamePort = found.Port, found.HealthPort, found.GRPCPort, found.SamePort
	s.Path, s.ReadyPath, s.LivePath, s.HTTP2, s.GRPC = found.Path, found.Ready, found.Live, found.HTTP2, found.GRPC
	p.repeat(s, c)
	p.tell(c)
	p.service = check.ServiceOf(s.WithDefaults(), c.Port, c.HealthPort)
	return c, inFlags(c.Declared.Validate())
}

// repeat chooses how often it is stopped, so that a usual service takes no more than a minute.
func (p *process) repeat(s *kittest.Spec, c *kittest.Command) {
	fixed := c.Port != 0 || c.HealthPort != 0 || c.GRPCPort != 0
	if !fixed {
		s.Parallel = atOnce
	}
	if s.Stops != 0 {
		return
	}
	s.Stops, s.Edges = usually, usually
	if fixed || p.o.quick {
		s.Stops, s.Edges = 1, 1
	}
}

// tell puts into words what the check goes by.
func (p *process) tell(c *kittest.Command) {
	s := c.Declared
	health := ""
	switch {
	case c.HealthPort != 0:
		health = fmt.Sprintf(" on port %d", c.HealthPort)
	case !c.SamePort:
		health = " on the port of GAPLESS_HEALTH"
	}
	h2 := ""
	if s.HTTP2 {
		h2 = ", HTTP/2 as well"
	}
	facts := []string{fmt.Sprintf("load %v requests/s on %s%s; readiness %s, liveness %s%s", s.Rate, s.Path, h2, s.ReadyPath, s.LivePath, health)}
	facts = append(facts, fmt.Sprintf("grace %v, of which preStop %v, drain %v, close %v; stopped under load %d times", s.Grace, s.PreStop, s.Drain, s.Close, s.Stops))
	if p.declared.Object != "" {
		facts = append(facts, fmt.Sprintf("from the manifest: %s, container %s", p.declared.Object, p.declared.Container))
		for _, what := range p.declared.Unseen {
			facts = append(facts, "not used: "+what)
		}
	}
	p.facts = append(facts, p.facts...)
}
