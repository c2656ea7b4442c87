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

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/probe"
	"gapless.dev/gapless/internal/report"
)

const long = `Send requests to URL on a fixed schedule and count what becomes of each.

Requests start when they are due, whatever earlier answers do. Each is attempted once:
nothing is retried or redirected, and no proxy of the environment is used. A request is
lost when it gets no complete answer in time, an answer of 400 or above, or a body that
--expect does not match. Versions are read from the header Gapless-Version, or from the
body by --version-pattern.

Exit code: 0 nothing was lost, 1 something was lost or nothing could be sent, 2 wrong usage.
Ctrl-C ends the run early, with the report so far; a second one ends it at once.`

const example = `  gapless probe http://localhost:8080/ --rate 500 --for 60s
  gapless probe https://shop.example.com/healthz --h2 50 --new 20 --report probe.html
  gapless probe http://localhost:8080/ --version-pattern 'version (\S+)' -o json`

// New returns the command.
func New() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:           "probe URL",
		Short:         "Send steady load to a service and count every lost request",
		Long:          long,
		Example:       example,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return exit.Usagef("probe takes one URL, got %d arguments: gapless probe http://HOST[:PORT]/PATH", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd.Context(), f, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.Usagef("%w: %s --help lists the flags", err, cmd.CommandPath())
	})
	f.register(cmd.Flags())
	return cmd
}

func run(ctx context.Context, f *flags, url string, stdout, stderr io.Writer) error {
	opts, err := f.options(url)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	out, err := report.ParseFormat(f.output)
	if err != nil {
		return exit.Usagef("--output: %w", err)
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

	p := probe.New(opts)
	watching := watch(p, stderr)
	traffic, err := p.Run(ctx)
	watching()
	if err != nil {
		return err
	}
	return finish(traffic, out, stdout, file)
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
