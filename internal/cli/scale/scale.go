// Package scale is the command gapless scale.
package scale

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
)

// Options of the command.
type Options struct {
	App      string
	Replicas int
	Output   shell.Output
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:               "scale NAME N",
		Short:             "Have more or fewer processes or pods of an app",
		Long:              "Have N processes, or on a cluster N pods, of an app. Those that go are drained first. It may be done at any moment, also in the middle of a rollout.",
		Args:              shell.Args(2, 2, "NAME N"),
		ValidArgsFunction: sh.Apps,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 0 || n > app.MaxReplicas {
				return exit.Usagef("N is %q: give a number from 0 to %d", args[1], app.MaxReplicas)
			}
			o.App, o.Replicas = args[0], n
			return Run(cmd.Context(), sh, o)
		},
	}
	o.Output.Register(cmd, "text", "json")
	return cmd
}

// Run asks for the number.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	t, err := sh.Target(ctx, o.Output)
	if err != nil {
		return err
	}
	now, err := t.Scale(ctx, o.App, o.Replicas)
	if err != nil {
		return err
	}
	if o.Output.JSON() {
		return sh.Report(now)
	}
	sh.Printf("%s: %s wanted\n", o.App, t.Place().Instances(o.Replicas))
	return nil
}
