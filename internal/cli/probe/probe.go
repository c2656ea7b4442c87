// Package probe is the command gapless probe.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/probe"
	"gapless.dev/gapless/internal/report"
)

const long = `Send requests to a service on a fixed schedule and count what becomes of each.

Requests start when they are due, whatever earlier answers do. Each is attempted once:
nothing is retried or redirected, and no proxy of the environment is used. A request is
lost when it gets no complete answer in time, an answer of 400 or above, or a body that
--expect does not match. Versions are read from the header Gapless-Version, or from the
body by --version-pattern.

With deploy/NAME or svc/NAME the requests come from inside a cluster: from a pod that is made
for it, lives as long as the probe, and asks the Service by its own address. What it counts
is seen by gapless status -w meanwhile, and kept with the report of the revision that it ran
in. Its flags, headers among them, can be read by whoever may read the pod.

Exit code: 0 nothing was lost, 1 something was lost or nothing could be sent, 2 wrong usage.
Ctrl-C ends the run early, with the report so far; a second one ends it at once.`

const example = `  gapless probe http://localhost:8080/ --rate 500 --for 60s
  gapless probe https://shop.example.com/healthz --h2 50 --new 20 --report probe.html
  gapless probe deploy/demo-api --rate 300 --for 2m
  gapless probe http://localhost:8080/ --version-pattern 'version (\S+)' -o json`

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:           "probe URL|deploy/NAME|svc/NAME",
		Short:         "Send steady load to a service and count every lost request",
		Long:          long,
		Example:       example,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return exit.Usagef("probe takes one URL, got %d arguments: gapless probe http://HOST[:PORT]/PATH, or deploy/NAME from inside a cluster", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd.Context(), sh, f, args[0], cmd.Flags())
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.Usagef("%w: %s --help lists the flags", err, cmd.CommandPath())
	})
	f.register(cmd.Flags())
	return cmd
}

func run(ctx context.Context, sh *shell.Shell, f *flags, target string, set *pflag.FlagSet) error {
	inside := ofCluster(target)
	url := target
	if inside {
		url = "http://cluster" // it is found out there
	}
	opts, err := f.options(url)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	out, err := report.ParseFormat(f.output)
	if err != nil {
		return exit.Usagef("--output: %w", err)
	}
	if wrong := f.pod.misplaced(inside, set); wrong != nil {
		return wrong
	}
	// Opened before the run: a minute of load is not to be lost to a typing error.
	file, err := openReport(f.report)
	if err != nil {
		return exit.With(exit.Usage, err)
	}

	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal ends the schedule; from then on a signal has its usual effect.
	context.AfterFunc(ctx, stop)

	probe.KeepTime()
	var traffic report.Traffic
	switch {
	case inside:
		traffic, err = fromInside(ctx, sh, f, target, set)
	case f.lines:
		return inLines(ctx, probe.New(opts), sh.Out)
	default:
		p := probe.New(opts)
		watching := watch(p.Live, sh.Err)
		traffic, err = p.Run(ctx)
		watching()
	}
	if err != nil {
		return err
	}
	return finish(traffic, out, sh.Out, file)
}

func finish(t report.Traffic, out report.Format, stdout io.Writer, file *reportFile) error {
	r := report.OfProbe(t)
	if err := file.write(r); err != nil {
		return err
	}
	if err := report.Write(stdout, out, r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if t.Verdict != report.NoneLost {
		return exit.Silently(exit.Failed)
	}
	return nil
}

// reportFile is the file of --report; nil when there is none.
type reportFile struct {
	*os.File
	format report.Format
}

func openReport(name string) (*reportFile, error) {
	if name == "" {
		return nil, nil
	}
	format, err := report.FormatOf(name)
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	return &reportFile{f, format}, nil
}

func (f *reportFile) write(r report.Report) error {
	if f == nil {
		return nil
	}
	err := errors.Join(report.Write(f, f.format, r), f.Close())
	if err != nil {
		return fmt.Errorf("write report %s: %w", f.Name(), err)
	}
	return nil
}
