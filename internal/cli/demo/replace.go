package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/local"
	"gapless.dev/gapless/internal/probe"
	evidence "gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/kit/load"
)

// The demo's app and versions.
const (
	appName    = "demo-api"
	oldVersion = "1.0.0"
	newVersion = "2.0.0"
)

const (
	// before and after are how long traffic is watched around the rollout.
	before = 2 * time.Second
	after  = 2 * time.Second
	// patience is how long one rollout may take before the demo says that something is wrong.
	patience = 90 * time.Second
)

// plans are the demo's, with pauses that are short and long enough to be seen.
var plans = map[rollout.Strategy]string{
	rollout.Recreate:  "recreate: {}",
	rollout.Rolling:   "rolling: {maxSurge: 1}",
	rollout.BlueGreen: "blueGreen: {holdBack: 500ms}",
	rollout.Canary:    "canary: {steps: [{weight: 10, pause: 1500ms}, {weight: 25, pause: 1500ms}, {weight: 50, pause: 1500ms}]}",
}

// AppFile is the app file of a run: the same that a person would write, but for this program as the service.
func AppFile(o *Options, strategy rollout.Strategy, service, self string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\ncommand: [%q, %q, \"-start-delay\", %q", appName, self, serviceCommand, o.Start)
	if service == naive {
		b.WriteString(`, "-naive"`)
	}
	fmt.Fprintf(&b, "]\nversion: %s\nreplicas: %d\n", oldVersion, o.Replicas)
	b.WriteString("ports: {http: 0}\n")
	b.WriteString("env: {GAPLESS_DRAIN: 100ms}  # the proxy has drained already\n")
	b.WriteString("health: {ready: {path: /ready, period: 100ms}, live: {path: /healthz}}\n")
	b.WriteString("stop: {drain: 2s, grace: 10s}\n")
	fmt.Fprintf(&b, "strategy: {%s}\n", plans[strategy])
	return b.String()
}

// replace makes one run: Gapless in this process, the service in processes of its own, and a probe through the proxy.
func replace(ctx context.Context, o *Options, c cell, b *board) (Result, error) {
	result := Result{Strategy: string(c.strategy), Service: c.service}
	self, err := os.Executable()
	if err != nil {
		return result, err
	}
	file, err := app.Parse("demo.yaml", []byte(AppFile(o, c.strategy, c.service, self)))
	if err != nil {
		return result, err
	}
	dir, err := os.MkdirTemp("", "gapless-demo-")
	if err != nil {
		return result, err
	}
	defer os.RemoveAll(dir)
	file.Apps[0].Dir = dir

	w, err := raise(ctx, file, dir)
	if err != nil {
		return result, err
	}
	defer w.fall()

	p := startProbe("http://"+w.address+"/", o.Rate)
	defer p.stop()
	b.probing(p.Probe)
	if err := sleep(ctx, before); err != nil {
		return result, err
	}
	deployed := time.Now()
	r, err := roll(ctx, w.client, p, b)
	if err != nil {
		return result, err
	}
	result.Duration = time.Since(deployed)
	if err := sleep(ctx, after); err != nil {
		return result, err
	}
	result.Traffic = p.stop()
	r.Traffic = &result.Traffic
	result.Report = r
	return result, p.err
}

// roll deploys the new version and returns when it is stable.
func roll(ctx context.Context, client *local.Client, p *running, b *board) (evidence.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := client.Deploy(ctx, appName, newVersion); err != nil {
		return evidence.Report{}, fmt.Errorf("deploy %s: %w", newVersion, err)
	}
	seen := ""
	for r, err := range client.Watch(ctx, appName) {
		if err != nil {
			return r, fmt.Errorf("watch the rollout: %w", err)
		}
		b.reporting(r)
		if name := phaseOf(r); name != seen {
			seen = name
			p.Mark(name, time.Now())
		}
		switch {
		case r.To != newVersion || !r.Over() || r.Phase != string(rollout.Idle) && r.Phase != string(rollout.Held):
		case r.Outcome == evidence.Promoted:
			return r, nil
		default:
			return r, fmt.Errorf("%s did not become stable: %s %s\n%s", newVersion, r.Outcome, r.Message, strings.Join(r.Logs, "\n"))
		}
	}
	return evidence.Report{}, ctx.Err()
}

func phaseOf(r evidence.Report) string {
	if r.Phase == string(rollout.Shifting) && r.Steps > 0 {
		return fmt.Sprintf("%s %d %%", r.Phase, r.Weight)
	}
	return r.Phase
}

// A world is a Gapless that serves in this process.
type world struct {
	client  *local.Client
	address string
	cancel  context.CancelFunc
	ended   chan error
}

// raise starts it and returns when it serves.
func raise(ctx context.Context, file app.File, dir string) (*world, error) {
	// What was started is stopped in order also after Ctrl-C, so it must not end with ctx by itself, but by fall.
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &world{cancel: cancel, ended: make(chan error, 1)}
	ready := make(chan local.Ping, 1)
	socket := filepath.Join(dir, "gapless.sock")
	go func() {
		w.ended <- local.Up(serving, local.Options{
			File: file, FileName: "demo.yaml", StateDir: filepath.Join(dir, "state"), Socket: socket, Version: "demo",
			Ready: func(p local.Ping) { ready <- p },
		})
	}()
	select {
	case p := <-ready:
		w.client = local.Dial(socket)
		if len(p.Ports) != 1 {
			w.fall()
			return nil, fmt.Errorf("%d ports are open, and one was asked for", len(p.Ports))
		}
		w.address = p.Ports[0].Address
	case err := <-w.ended:
		cancel()
		if err == nil {
			err = errors.New("ended before it served")
		}
		return nil, fmt.Errorf("start the demo: %w", err)
	case <-ctx.Done():
		w.fall()
		return nil, ctx.Err()
	}
	if err := w.serves(ctx, file.Apps[0].Replicas); err != nil {
		w.fall()
		return nil, err
	}
	return w, nil
}

// serves waits until the first version is complete.
func (w *world) serves(ctx context.Context, replicas int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for r, err := range w.client.Watch(ctx, appName) {
		if err != nil {
			return fmt.Errorf("wait for %s: %w", oldVersion, err)
		}
		if r.Phase != string(rollout.Idle) {
			continue
		}
		for _, v := range r.Versions {
			if v.Name == oldVersion && v.Ready >= replicas && v.Weight == 100 {
				return nil
			}
		}
	}
	return ctx.Err()
}

// fall stops everything and waits for it.
func (w *world) fall() {
	w.cancel()
	<-w.ended
}

// running is a probe under way.
type running struct {
	*probe.Probe
	cancel  context.CancelFunc
	done    chan struct{}
	traffic evidence.Traffic
	err     error
}

func startProbe(url string, rate float64) *running {
	ctx, cancel := context.WithCancel(context.Background())
	p := &running{Probe: probe.New(load.Options{URL: url, Rate: rate, New: 0.5}), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.traffic, p.err = p.Run(ctx)
	}()
	return p
}

// stop ends the schedule and waits for what is on its way. It may be called again.
func (p *running) stop() evidence.Traffic {
	p.cancel()
	<-p.done
	return p.traffic
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
