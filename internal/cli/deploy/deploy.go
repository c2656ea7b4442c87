// Package deploy is the command gapless deploy.
package deploy

import (
	"context"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/status"
	"gapless.dev/gapless/internal/rollout"
)

const long = `Replace the version of an app, by the strategy of its app file.

The same version again changes nothing. Stable's version in the middle of a rollout is an abort. A newer one in the middle of a
rollout takes all traffic back to stable first, and then starts over.

With --wait the command ends when the rollout is over, with exit code 1 if the version did not become stable.`

const example = `  gapless deploy demo-api 2.0.0
  gapless deploy demo-api 2.0.0 --wait --timeout 10m
  gapless plan demo-api 2.0.0      what it would do`

// Options of the command.
type Options struct {
	App     string
	Version string
	Wait    status.Wait
	Output  shell.Output
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:               "deploy NAME VERSION",
		Short:             "Replace the version of an app by another",
		Long:              long,
		Example:           example,
		Args:              shell.Args(2, 2, "NAME VERSION"),
		ValidArgsFunction: sh.Apps,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.App, o.Version = args[0], args[1]
			return Run(cmd.Context(), sh, o)
		},
	}
	o.Wait.Register(cmd)
	o.Output.Register(cmd, "text", "json")
	return cmd
}

// Run deploys and, if asked to, waits for what comes of it.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	if err := app.ValidVersion(o.Version); err != nil {
		return exit.With(exit.Usage, err)
	}
	client := sh.Client()
	before, err := client.Status(ctx, o.App)
	if err != nil {
		return shell.Failed(err)
	}
	now, err := client.Deploy(ctx, o.App, rollout.Version(o.Version))
	if err != nil {
		return shell.Failed(err)
	}
	if o.Wait.On {
		return o.Wait.Until(ctx, sh, o.App, status.Goal{Before: before, Version: o.Version}, o.Output.JSON())
	}
	if o.Output.JSON() {
		return sh.Report(now)
	}
	if stable := status.Stable(before); before.Over() && stable == o.Version {
		sh.Printf("%s: %s is stable already, nothing to do\n", o.App, stable)
		return nil
	}
	sh.Printf("%s: %s is wanted\n  follow it: gapless status %s -w\n", o.App, o.Version, o.App)
	return nil
}
