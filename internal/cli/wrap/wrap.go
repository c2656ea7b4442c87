// Package wrap is the command gapless wrap.
package wrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/wrap"
	"gapless.dev/kit"
)

const long = `Start COMMAND and stand where it stood, so that it can be replaced without losing a request. It needs no change.

wrap listens on the service's port and hands requests over to the command on another one of the loopback, which the
command is told by PORT (and by {port} in its words). Asked to stop by SIGTERM, it goes on serving for --drain, tells each
client to go elsewhere (Connection: close, GOAWAY), ends event streams and WebSockets in order, answers what is on its way,
and only then passes the signal on. As process 1 of a container it forwards other signals and reaps orphans.

What is promised depends on who owns the port:

  --mode http    (default) requests are handed over, over HTTP/1 and HTTP/2, with or without TLS. All of the above
  --mode tcp     connections are handed over, whatever they carry, also TLS that the command ends. Nobody is refused in the
                 drain, and connections on which an answer is owed are waited for. Nothing can be announced
  --mode signal  the port stays the command's, and only its signal is delayed until the drain has passed. What happens to
                 requests after that is the command's matter

Without COMMAND, --to names what is served: the app's container, when wrap is a native sidecar of the pod.

Exit codes: 0 asked to stop, and all was answered; 3 the grace period was over before that, and the report says what was
cut; the command's own (128 and the number of a signal) when it ended without having been asked to; 1 nothing could be
served; 126 and 127 the command could not be started; 2 wrong usage.

The environment wins over flags, since a manifest knows the grace period and an image guesses it: GAPLESS_GRACE,
GAPLESS_DRAIN, GAPLESS_PRESTOP, GAPLESS_VERSION (sent as Gapless-Version where the command sends none), GAPLESS_HEALTH,
GAPLESS_READY_FILE, GAPLESS_REPORT.`

const example = `  ENTRYPOINT ["gapless", "wrap", "--"]          # in a Dockerfile, before the CMD that is there already
  gapless wrap --ready-path /healthz -- python3 server.py
  gapless wrap --listen :8080 --to 127.0.0.1:80 -- nginx -g 'daemon off;'
  gapless wrap --mode tcp --listen :5432 -- postgres -p {port}
  gapless wrap --listen :8080 --to 127.0.0.1:3000 --drain-endpoint    # a native sidecar`

type flags struct {
	wrap.Options
	mode       string
	exec       string
	stop       string
	readyFile  string
	terminates bool
}

func (f *flags) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.SetInterspersed(false) // the command has flags of its own
	fs.StringVar(&f.Listen, "listen", "", "`address` that clients come to (default the port in PORT, or 8080, on every address)")
	fs.StringVar(&f.To, "to", "", "`host:port` that the command listens on, for one that does not read PORT (default a free port of the loopback)")
	fs.StringVar(&f.mode, "mode", string(wrap.HTTP), "who owns the port: http, tcp or signal")
	fs.BoolVar(&f.HTTP2, "h2c", false, "speak HTTP/2 without TLS to the command for every request, not only for gRPC")
	fs.BoolVar(&f.Fresh, "fresh", false, "a connection for each request, for a command that serves one connection at a time")
	fs.StringVar(&f.Cert, "cert", "", "PEM `file` of a certificate: clients speak TLS, the command does not")
	fs.StringVar(&f.Key, "key", "", "PEM `file` of its key")
	fs.StringVar(&f.Ready.Path, "ready-path", "", "the command is ready while a GET of this `path` answers 200 to 399 (default once its port takes connections)")
	fs.StringVar(&f.exec, "ready-exec", "", "it is ready while this `command` exits with 0; words are split at blanks")
	fs.DurationVar(&f.Ready.Period, "ready-period", time.Second, "time between two of these checks")
	fs.DurationVar(&f.Ready.Timeout, "ready-timeout", time.Second, "time for one of them")
	fs.IntVar(&f.Ready.Failures, "ready-failures", 3, "failures in a row, after which it is not ready any more")
	fs.StringVar(&f.readyFile, "ready-file", "", "`file` that exists while all is ready, for exec probes")
	fs.StringVar(&f.Health, "health", ":8081", "`address` of /livez, /readyz, /startupz and /statusz; '' is none")
	fs.BoolVar(&f.DrainEndpoint, "drain-endpoint", false, "add /drain to it, for preStop hooks: starts the drain, and with ?wait answers when all is answered")
	b := kit.DefaultBudget()
	fs.DurationVar(&f.Budget.Grace, "grace", b.Grace, "time from the order to stop to the kill: terminationGracePeriodSeconds")
	fs.DurationVar(&f.Budget.PreStop, "prestop", b.PreStop, "how much of it a preStop sleep uses")
	fs.DurationVar(&f.Budget.Drain, "drain", b.Drain, "how long traffic may still come after the order to stop")
	fs.DurationVar(&f.Budget.Close, "close", b.Close, "kept of the grace period for the command to end in, with what requests leave of theirs")
	fs.BoolVar(&f.terminates, "serve-terminating", false, "stay ready while draining: for one replica, or externalTrafficPolicy Local")
	fs.StringVar(&f.stop, "stop-signal", "TERM", "`signal` that the command is told to end by")
	fs.DurationVar(&f.StopWithin, "stop-within", 0, "how long it may take to end before it is killed (default what is left of the grace period)")
	fs.StringVar(&f.Report, "report", "", "`file` of the drain report, JSON (default /dev/termination-log where that is, else the log; /dev/stdout in a container)")
}

// New returns the command.
func New() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:     "wrap [flags] -- COMMAND [ARG ...]",
		Short:   "Make a program in any language replaceable without loss, as process 1 of its container",
		Long:    long,
		Example: example,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(args)
			if err != nil {
				return exit.With(exit.Usage, err)
			}
			return run(cmd.Context(), o)
		},
	}
	f.register(cmd.Flags())
	return cmd
}

func run(ctx context.Context, o wrap.Options) error {
	code, err := wrap.Run(ctx, o)
	var start *wrap.StartError
	var bad *wrap.OptionError
	switch {
	case errors.As(err, &start):
		return exit.With(start.Code(), err)
	case errors.As(err, &bad), errors.Is(err, kit.ErrBudget):
		return exit.With(exit.Usage, err)
	case err != nil:
		return exit.With(exit.Failed, err)
	case code != 0:
		return exit.Silently(code)
	}
	return nil
}

func (f *flags) options(args []string) (wrap.Options, error) {
	o := f.Options
	o.Command = args
	o.Mode = wrap.Mode(f.mode)
	if !slices.Contains([]wrap.Mode{wrap.HTTP, wrap.TCP, wrap.Signal}, o.Mode) {
		return o, fmt.Errorf("--mode is %q: give http, tcp or signal", f.mode)
	}
	if o.Ready.Exec = strings.Fields(f.exec); len(o.Ready.Exec) > 0 && o.Ready.Path != "" {
		return o, errors.New("--ready-path and --ready-exec: give one of the two")
	}
	if o.Ready.Path != "" && !strings.HasPrefix(o.Ready.Path, "/") {
		return o, fmt.Errorf("--ready-path is %q: give a path that begins with /", o.Ready.Path)
	}
	for name, d := range map[string]time.Duration{"ready-period": o.Ready.Period, "ready-timeout": o.Ready.Timeout} {
		if d <= 0 {
			return o, fmt.Errorf("--%s is %v: give a duration above 0, such as 1s", name, d)
		}
	}
	if o.Ready.Failures < 1 {
		return o, fmt.Errorf("--ready-failures is %d: give a number above 0", o.Ready.Failures)
	}
	if o.StopWithin < 0 {
		return o, fmt.Errorf("--stop-within is %v: give a duration above 0, or 0 for what is left of the grace period", o.StopWithin)
	}
	o.Stop = unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(f.stop), "SIG"))
	if o.Stop == 0 || o.Stop == syscall.SIGKILL || o.Stop == syscall.SIGSTOP {
		return o, fmt.Errorf("--stop-signal is %q: give a signal by name, such as TERM, INT or QUIT", f.stop)
	}
	if f.terminates {
		o.Readiness = kit.ServeTerminating
	}
	o.Budget.Margin = kit.DefaultBudget().Margin
	if f.readyFile != "" && os.Getenv("GAPLESS_READY_FILE") == "" {
		// kit knows this file by the environment only.
		if err := os.Setenv("GAPLESS_READY_FILE", f.readyFile); err != nil {
			return o, err
		}
	}
	return o, nil
}
