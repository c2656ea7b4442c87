// Package deploy is the command gapless deploy.
package deploy

import (
	"context"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/appfile"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/status"
	"gapless.dev/gapless/internal/cli/target"
)

const long = `Replace the version of an app, by its strategy: that of its app file on one machine, that of its Rollout on a cluster.

On a cluster VERSION is a tag, which the image of the Deployment's container gets, or the whole reference of an image. It is what kubectl
set image does, and that starts the same rollout.

The same version again changes nothing. Stable's version in the middle of a rollout is an abort. A newer one in the middle of a
rollout takes all traffic back to stable first, and then starts over.

With -f it is an app file that is deployed. On a cluster its objects are applied as gapless render prints them: the diff and the plan are shown first, and what an earlier deploy of the
file has made and this one does not is deleted. On one machine its versions are deployed. Several apps are rolled in the order of their after; when one is taken back,
those after it never begin, and those before it are taken back too, unless the file says group: {failed: hold}. With NAME=VERSION only the apps that are named are deployed.
With -o json what happens on the way is told on standard error, and at the end standard output has a list with the status of each of the apps.

With --wait the command ends when the rollout is over, with exit code 1 if the version did not become stable.`

const example = `  gapless deploy demo-api 2.0.0
  gapless deploy demo-api 2.0.0 --wait --timeout 10m
  gapless deploy demo-api registry.example.com/demo-api:2.0.0 --on kube -n shop
  gapless plan demo-api 2.0.0      what it would do
  gapless deploy -f gapless.yaml --on kube -n shop --yes --wait
  gapless deploy -f gapless.yaml users=2.0.0 orders=1.4.0`

// Options of the command.
type Options struct {
	App     string
	Version string
	More    target.DeployOptions
	File    appfile.Options
	Yes     bool
	DryRun  bool
	Force   bool
	Wait    status.Wait
	Output  shell.Output
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "deploy NAME VERSION | -f FILE [VERSION | NAME=VERSION...]",
		Short:   "Replace the version of an app by another",
		Long:    long,
		Example: example,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.File.File != "" {
				return nil
			}
			return shell.Args(2, 2, "NAME VERSION")(cmd, args)
		},
		ValidArgsFunction: sh.Apps,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.File.File != "" {
				return File(cmd.Context(), sh, o, args)
			}
			o.App, o.Version = args[0], args[1]
			return Run(cmd.Context(), sh, o)
		},
	}
	cmd.Flags().StringVar(&o.More.Container, "container", "", "`name` of the container whose image is meant, on a cluster (default the only one)")
	o.File.Register(cmd, "")
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "with -f on a cluster: apply without asking")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "with -f on a cluster: show the diff and the plan, and change nothing")
	cmd.Flags().BoolVar(&o.Force, "force-conflicts", false, "with -f on a cluster: take over fields that somebody else writes, too")
	o.Wait.Register(cmd)
	o.Output.Register(cmd, "text", "json")
	return cmd
}

// Run deploys and, if asked to, waits for what comes of it.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	t, err := sh.Target(ctx, o.Output)
	if err != nil {
		return err
	}
	before, err := t.Status(ctx, o.App)
	if err != nil {
		return err
	}
	now, called, err := t.Deploy(ctx, o.App, o.Version, o.More)
	if err != nil {
		return err
	}
	stable := status.Stable(before)
	if o.Wait.On {
		another := !before.Over() && before.Revision > 0 && called != before.To && called != stable
		return o.Wait.Until(ctx, sh, t, o.App, status.Goal{Before: before, Version: called, Another: another}, o.Output.JSON())
	}
	if o.Output.JSON() {
		return sh.Report(now)
	}
	if before.Over() && stable == called {
		sh.Printf("%s: %s is stable already, nothing to do\n", o.App, stable)
		return nil
	}
	sh.Printf("%s: %s is wanted\n  follow it: gapless status %s -w\n", o.App, called, o.App)
	return nil
}
