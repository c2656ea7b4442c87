package check

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"gapless.dev/gapless/internal/check"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/kit/kittest"
)

// about is what is known of a service, whatever it runs as.
type about struct {
	facts   []string
	service check.Service
}

func (a *about) fact(format string, args ...any) {
	a.facts = append(a.facts, fmt.Sprintf(format, args...))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// The contract asks for so many stops, under load and at the edge.
const (
	contractStops = 5
	contractEdges = 20
)

// often is how often it is stopped; where that is less than the contract asks for, it says so.
func often(s kittest.Spec) string {
	text := fmt.Sprintf("stopped under load %s, at the edge %s", times(s.Stops), times(s.Edges))
	if s.Stops < contractStops || s.Edges < contractEdges {
		text += fmt.Sprintf(" (the contract: %d and %d; --repeat %d for as many)", contractStops, contractEdges, contractEdges)
	}
	return text
}

func (a *about) known() ([]string, check.Service) { return a.facts, a.service }

// tell puts into words what the check goes by, before what was found out.
func (a *about) tell(s kittest.Spec, d check.Declared, health string) {
	s = s.WithDefaults()
	h2 := ""
	if s.HTTP2 {
		h2 = ", HTTP/2 as well"
	}
	first := []string{
		fmt.Sprintf("load %v requests/s on %s%s; readiness %s, liveness %s%s", s.Rate, s.Path, h2, s.ReadyPath, s.LivePath, health),
		fmt.Sprintf("grace %v, of which preStop %v, drain %v, close %v; %s", s.Grace, s.PreStop, s.Drain, s.Close, often(s)),
	}
	if d.Object != "" {
		first = append(first, fmt.Sprintf("from the manifest: %s, container %s", d.Object, d.Container))
	}
	for _, what := range d.Unseen {
		first = append(first, "not used: "+what)
	}
	a.facts = append(first, a.facts...)
}

// process is the service as a program on this machine.
type process struct {
	o    *Options
	args []string
	about
}

func (p *process) subject() string { return strings.Join(p.args, " ") }

// atOnce is how many instances run at once where ports can be told, and usually how often each kind of stop is tried there; oneByOne is how
// often where one instance has to end before the next can start.
const (
	atOnce   = 6
	usually  = 5
	oneByOne = 3
)

// target finds out what is not said, by a first run.
func (p *process) target(ctx context.Context, doing func(string)) (kittest.Target, error) {
	declared, err := p.o.manifest()
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	spec, err := p.o.spec(declared)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	spec.ReadOnly = !p.o.post
	path, err := exec.LookPath(p.args[0])
	if err != nil {
		return nil, exit.Usagef("%s cannot be started: %w", p.args[0], err)
	}
	c := &kittest.Command{Declared: spec, Path: path, Args: p.args[1:], Env: append(declared.Env, p.o.env...)}
	asked := check.Asked{
		Port: p.o.port, HealthPort: p.o.healthPort, Ready: p.o.ready, Live: p.o.live, Path: p.o.path, Startup: spec.Startup,
	}
	asked.Declared(declared)
	found, err := check.Scout(ctx, *c, asked, doing)
	p.facts = append(p.facts, found.Facts...)
	var unsaid *check.UnsaidError
	if errors.As(err, &unsaid) {
		return nil, exit.With(exit.Usage, err)
	}
	if err != nil {
		return nil, err
	}
	s := &c.Declared
	c.Port, c.HealthPort, c.GRPCPort, c.SamePort = found.Port, found.HealthPort, found.GRPCPort, found.SamePort
	s.Path, s.ReadyPath, s.LivePath, s.HTTP2, s.GRPC = found.Path, found.Ready, found.Live, found.HTTP2, found.GRPC
	p.repeat(s, c)
	p.tell(*s, declared, where(c))
	p.service = check.ServiceOf(s.WithDefaults(), c.Port, c.HealthPort)
	return c, inFlags(c.Declared.Validate())
}

// where its health is, if not on its own port.
func where(c *kittest.Command) string {
	switch {
	case c.HealthPort != 0:
		return fmt.Sprintf(" on port %d", c.HealthPort)
	case !c.SamePort:
		return " on the port of GAPLESS_HEALTH"
	}
	return ""
}

// repeat chooses how often it is stopped, so that a usual service takes no more than a minute, or two on a fixed port.
func (p *process) repeat(s *kittest.Spec, c *kittest.Command) {
	fixed := c.Port != 0 || c.HealthPort != 0 || c.GRPCPort != 0
	if !fixed {
		s.Parallel = atOnce
	}
	if s.Stops != 0 {
		return
	}
	s.Stops, s.Edges = usually, usually
	switch {
	case p.o.quick:
		s.Stops, s.Edges = 1, 1
	case fixed:
		s.Stops, s.Edges = oneByOne, oneByOne
	}
}
