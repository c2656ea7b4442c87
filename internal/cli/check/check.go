// Package check is the command gapless check.
package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/check"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/kit/kittest"
)

const long = `Find out whether a service survives being replaced: start it, load it, send SIGTERM under load, again and
again, and judge it by the rules Z1 to Z22. The service needs no change, whatever it is written in.

CMD is started with PORT set to a free port. What listens there, or elsewhere, is found, and so are usual
health endpoints; --port, --ready and --live say it where they are not. -f reads ports, probes, variables, grace
period and preStop from the service's manifest. "{port}" in CMD and --env stands for the port.

--pod deploy/NAME checks a service in a cluster, on copies of its pod that no Service selects, and that are deleted
afterwards. A copy is a real instance all the same: it talks to the same database and takes from the same
queues, so it is sent GET only, unless --post is given. Pods must be reachable from here.

Each request is sent once, on a fixed schedule. A rule that cannot be judged is skipped with its reason, and is
not taken for passed: streams, a slow path, consumers and more have to be named. The first cause is the first
MUST that failed; what fails after it may be its consequence.

Exit code: 0 no MUST failed, 1 one did, or it was cancelled, 2 the command line or a file is wrong.
Ctrl-C ends it early, and everything that it has started.`

const example = `  gapless check -- ./my-service --listen :{port}
  gapless check --port 8080 --ready /ready --live /healthz -- python3 server.py
  gapless check -f deployment.yaml --slow '/slow?ms={ms}' --report check.html -- ./my-service
  gapless check --pod deploy/api -n shop
  gapless check -o json -- node server.js > report.json
  gapless lint deployment.yaml --check report.json --fix`

// Options of the command.
type Options struct {
	flags
	Output shell.Output
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "check [flags] [-- CMD [ARG...]]",
		Short:   "Start a service, stop it under load, and judge whether it can be replaced without loss",
		Long:    long,
		Example: example,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case o.pod != "" && (len(args) > 0 || o.file != ""):
				return exit.Usagef("--pod checks a Deployment as it stands: it takes no command and no manifest")
			case o.pod == "" && o.serving:
				return exit.Usagef("--serving is about --pod deploy/NAME")
			case o.pod == "" && len(args) == 0:
				return exit.Usagef("check takes the command that starts the service: gapless check -- ./my-service")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.changed = cmd.Flags().Changed
			return Run(cmd.Context(), sh, o, args)
		},
	}
	// What follows the command is the command's.
	cmd.Flags().SetInterspersed(false)
	o.register(cmd.Flags())
	o.Output.Register(cmd, check.Formats...)
	return cmd
}

// Run checks a service and prints what was found.
func Run(ctx context.Context, sh *shell.Shell, o *Options, args []string) error {
	only, err := o.rules()
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	// Opened before the run: a minute is not to be lost to a typing error.
	file, err := openReport(o.report)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // what was started must end with us
	defer stop()

	began := time.Now()
	look := watch(sh)
	var service interface {
		subject() string
		target(context.Context, func(string)) (kittest.Target, error)
		known() ([]string, check.Service)
	} = &process{o: o, args: args}
	if o.pod != "" {
		service = &inCluster{o: o, connection: sh.Where.Cluster}
	}
	target, err := service.target(ctx, look.doing)
	facts, how := service.known()
	out := printer{sh: sh, live: o.Output.Format == "text", look: look}
	var judged kittest.Judgement
	var usage *exit.ExitError
	switch {
	case errors.As(err, &usage):
		look.stop()
		return err
	case ctx.Err() != nil:
	case err != nil:
		judged = check.Unstarted(err.Error())
		out.head(service.subject(), facts)
		for _, one := range judged.Results {
			out.result(one)
		}
	default:
		out.head(service.subject(), facts)
		judged = kittest.Judge(ctx, target, kittest.Watch{Result: out.result, Doing: look.doing}, only...)
	}
	look.stop()
	r := check.Of(judged, ctx.Err() != nil, time.Since(began))
	r.Subject, r.Service, r.Facts = service.subject(), how, facts
	return finish(out, o, r, file)
}

func finish(out printer, o *Options, r check.Report, file *reportFile) error {
	if err := file.write(r); err != nil {
		return err
	}
	if err := out.report(r, o.Output.Format); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if r.Verdict != check.Pass {
		return exit.Silently(exit.Failed)
	}
	return nil
}

// reportFile is the file of --report; nil when there is none.
type reportFile struct {
	*os.File
	format string
}

var endings = map[string]string{".txt": "text", ".json": "json", ".xml": "junit", ".html": "html", ".htm": "html"}

func openReport(name string) (*reportFile, error) {
	if name == "" {
		return nil, nil
	}
	format, known := endings[strings.ToLower(filepath.Ext(name))]
	if !known {
		return nil, fmt.Errorf("--report: the name %q does not say its format: end it in .txt, .json, .html or .xml (JUnit)", name)
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	return &reportFile{f, format}, nil
}

func (f *reportFile) write(r check.Report) error {
	if f == nil {
		return nil
	}
	if err := errors.Join(r.Write(f, f.format), f.Close()); err != nil {
		return fmt.Errorf("write report %s: %w", f.Name(), err)
	}
	return nil
}
