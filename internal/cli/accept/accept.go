// Package accept is the command gapless accept.
package accept

import (
	"context"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/follow/choose"
)

const long = `Say yes to a tag of the repository that an app follows, where that is not taken by itself: a tag that has moved to another commit, a version below the one that was started before, one of
two tags that say the same version. The yes is for the tag at the commit that it leads to now; should it move again, it is asked again.`

const example = `  gapless accept demo-api v2.0.0
  gapless accept demo-api -n shop --on kube`

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	return &cobra.Command{
		Use:               "accept NAME [TAG]",
		Short:             "Say yes to a tag that has moved, or to going back",
		Long:              long,
		Example:           example,
		Args:              shell.Args(1, 2, "NAME [TAG]"),
		ValidArgsFunction: sh.Apps,
		RunE: func(cmd *cobra.Command, args []string) error {
			tag := ""
			if len(args) > 1 {
				tag = args[1]
			}
			return Run(cmd.Context(), sh, args[0], tag)
		},
	}
}

// Run says yes.
func Run(ctx context.Context, sh *shell.Shell, name, tag string) error {
	t, err := sh.Target(ctx, shell.Output{})
	if err != nil {
		return err
	}
	yes, err := t.Accept(ctx, name, tag)
	if err != nil {
		return err
	}
	sh.Printf("%s: yes to %s (%s) by %s; it is taken at the next look\n", name, yes.Name, choose.Short(yes.Commit), t.User(ctx))
	return nil
}
