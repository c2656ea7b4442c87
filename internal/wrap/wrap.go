// Package wrap makes a program in any language replaceable without loss, without a change in it: it stands where the service stood,
// hands requests over to it, and tells it to stop only when the last of them has been answered.
//
// The server side is kit's: phases, time budget, health, drain report and exit codes are those of a Go service that uses kit. What is
// added here is the command behind it: it is started, waited for, watched, told to stop as the last of all, and reaped.
package wrap

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"gapless.dev/gapless/internal/proxy"
	"gapless.dev/kit"
)

// Run starts the command, serves in front of it until it is asked to stop, and returns the exit code.
//
// It is kit's own, 0 when all was answered and 3 when the deadline cut something, unless the command ends without having been asked
// to: then it is the command's, 128 and the signal's number for one that was killed. An error says that nothing was served. Run owns the
// process: it takes its signals and reaps all of its children, so it is called once, by main.
func Run(ctx context.Context, o Options) (int, error) {
	o, err := o.complete()
	if err != nil {
		return 0, err
	}
	if o.Mode != Signal {
		if err := vacant(o.Listen); err != nil {
			return 0, err
		}
	}
	var certs *tls.Config
	if o.Cert != "" {
		if certs, err = proxy.ServerTLS(o.Cert, o.Key); err != nil {
			return 0, err
		}
	}
	w := &wrapper{Options: o, certs: certs, kids: newNursery(), log: slog.New(slog.NewTextHandler(o.Stderr, nil)).With("by", "gapless wrap")}
	if len(o.Command) > 0 {
		if w.command, err = start(o, w.kids); err != nil {
			return 0, err
		}
		defer w.command.finish()
		w.log.Info("started", "command", o.Command[0], "pid", w.command.pid, "handsOverTo", o.To)
	}
	return w.run(ctx)
}

// A wrapper is the service and what stands behind it.
type wrapper struct {
	Options
	log     *slog.Logger
	certs   *tls.Config
	kids    *nursery
	command *command // nil when it is somebody else's
	ready   check
	front   front
}

func (w *wrapper) run(ctx context.Context) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx) // never cancelled at the end: that would be a stop like any other
	stop := forward(w.command, func(sig os.Signal) { cancel(errors.New(sig.String())) })
	defer stop()

	svc := kit.New(w.kit()...)
	w.register(svc)
	code := make(chan int, 1)
	go func() { code <- svc.Run(ctx) }()
	select {
	case c := <-code:
		return c, svc.Err()
	case <-w.diedAlone():
		w.finishAnswers()
		w.log.Error("the command ended, and nobody had asked it to", "ended", w.command.how())
		if left := w.command.left(); left != "" {
			w.log.Error("a process that it started runs on: start the service in the foreground", "process", left)
		}
		return w.command.exitCode(), nil
	}
}

// kit is how the service is set up.
func (w *wrapper) kit() []kit.Option {
	opts := []kit.Option{kit.WithBudget(w.Budget), kit.WithLogger(w.log), kit.WithReadiness(w.Readiness)}
	if w.Report != "" {
		opts = append(opts, kit.WithReport(w.Report))
	}
	if w.DrainEndpoint {
		opts = append(opts, kit.WithDrainEndpoint())
	}
	return opts
}

// register says what the service consists of. The command is registered first, so it is stopped last.
func (w *wrapper) register(svc *kit.Service) {
	w.ready = newCheck(w.Options, w.kids)
	if w.command != nil {
		svc.OnStopContext("command", func(ctx context.Context) error { return w.command.stop(ctx, w.Budget.Close) })
	}
	began := make(chan struct{})
	svc.ReadyWhen("command", func(ctx context.Context) error {
		if err := w.ready.wait(ctx); err != nil {
			return err
		}
		close(began)
		return nil
	})
	if w.ready.goesOn {
		svc.Dependency("command", func(ctx context.Context) error {
			select {
			case <-began:
				return w.ready.once(ctx)
			default:
				return nil // not ready yet anyway
			}
		}, kit.Required(), kit.Every(w.Ready.Period), kit.Timeout(w.Ready.Timeout), kit.FailAfter(w.Ready.Failures))
	}
	if w.Health != "" {
		svc.Health(w.Health)
	}
	switch w.Mode {
	case HTTP:
		h := newHandover(w.Options, w.certs)
		w.front = h
		svc.HTTP("http", h.server())
	case TCP:
		r := newRelay(w.To, w.log)
		w.front = r
		svc.Serve("tcp", &lateListener{addr: w.Listen}, r)
	case Signal:
		w.front = nobody{}
	}
}

// diedAlone is closed when the command has ended without having been asked to.
func (w *wrapper) diedAlone() <-chan struct{} {
	if w.command == nil {
		return nil
	}
	return w.command.alone
}

// lastBytes is how long the answers that the command had given when it died may take to reach their clients.
const lastBytes = time.Second

// finishAnswers passes on what the command had answered when it died. What it had not is refused by the hand-over: its connections are gone.
func (w *wrapper) finishAnswers() {
	limit := time.NewTimer(lastBytes)
	defer limit.Stop()
	select {
	case <-w.front.quiet():
	case <-limit.C:
	}
}

// A front is what clients reach. A nil one is somebody else's: the command's own port.
type front interface {
	// quiet is closed when nothing is on its way.
	quiet() <-chan struct{}
}

// forward passes signals on, and calls asked for those that mean the end and that kit does not know. SIGTERM and SIGINT are kit's.
func forward(c *command, asked func(os.Signal)) (stop func()) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, append(passedOn, syscall.SIGQUIT)...)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case sig := <-signals:
				if sig == syscall.SIGQUIT { // how the images of nginx, PHP-FPM and others are told to stop
					asked(sig)
				} else if c != nil {
					c.pass(sig.(syscall.Signal))
				}
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}
