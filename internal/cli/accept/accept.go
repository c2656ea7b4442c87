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

// Options of the command.
type Options struct {
	App, Tag string
	Output   shell.Output
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:               "accept NAME [TAG]",
		Short:             "Say yes to a tag that has moved, or to going back",
		Long:              long,
		Example:           example,
		Args:              shell.Args(1, 2, "NAME [TAG]"),
		ValidArgsFunction: sh.Apps,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.App = args[0]
			if len(args) > 1 {
				o.Tag = args[1]
			}
			return Run(cmd.Context(), sh, o)
		},
	}
	o.Output.Register(cmd, "text", "json")
	return cmd
}

// A yes is what was said, for a machine. No report holds it: the tag is taken later.
type yes struct {
	App string     `json:"app"`
	Tag choose.Tag `json:"tag"`
	By  string     `json:"by"`
}

// Run says yes.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	t, err := sh.Target(ctx, o.Output)
	if err != nil {
		return err
	}
	tag, err := t.Accept(ctx, o.App, o.Tag)
	if err != nil {
		return err
	}
	if o.Output.JSON() {
		return sh.JSON(yes{o.App, tag, t.User(ctx)})
	}
	sh.Printf("%s: yes to %s (%s) by %s; it is taken at the next look\n", o.App, tag.Name, choose.Short(tag.Commit), t.User(ctx))
	return nil
}
