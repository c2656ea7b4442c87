// Package order holds the commands that give an order to a rollout: each is one word to the engine.
package order

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/status"
	"gapless.dev/gapless/internal/rollout"
)

// orders in the order of the help.
var orders = []struct {
	verb        rollout.Verb
	short, long string
	waits       bool
	done        string
}{
	{
		rollout.Promote, "Let a rollout past the manual pause it stands at",
		`Let a rollout past the manual pause that it stands at: a canary step with "pause: manual", or a blue-green with "switch: manual".
Your name is kept in the report: on a cluster the one by which the cluster knows you. With --full the rest of the steps and pauses is skipped, too. What a pause of yours holds is let go by resume, not by promote.`,
		true, "promoted past the stop",
	},
	{
		rollout.Abort, "Take all traffic back to stable and drop the candidate",
		`Take all traffic back to stable: its capacity first, then its traffic, then what is wanted. The candidate is drained and removed. The version is not tried again until another comes, or gapless retry.`,
		true, "aborting",
	},
	{
		rollout.Undo, "Go back to the version before",
		`Go back to the version that was stable before, by the same strategy. During a rollout it is the same as abort.`,
		true, "undoing",
	},
	{
		rollout.Pause, "Hold a rollout where it is",
		`Hold a rollout where it is, until resume. What was begun is finished; no further step is taken. A candidate that fails is still aborted.`,
		false, "paused",
	},
	{
		rollout.Resume, "End a pause that somebody ordered",
		`End a pause that somebody ordered by gapless pause. A manual stop of the plan is not ended by it: that is promote.`,
		false, "resumed",
	},
	{
		rollout.Retry, "Try the refused version again",
		`Try the version again that was aborted last.`,
		true, "retrying",
	},
}

// Options of a command.
type Options struct {
	App    string
	Verb   rollout.Verb
	Done   string
	Wait   status.Wait
	Output shell.Output
}

// New returns one command for each order.
func New(sh *shell.Shell) []*cobra.Command {
	var all []*cobra.Command
	for _, one := range orders {
		o := &Options{Verb: one.verb, Done: one.done}
		full := false
		cmd := &cobra.Command{
			Use:               string(one.verb) + " NAME",
			Short:             one.short,
			Long:              one.long,
			Args:              shell.Args(1, 1, "NAME"),
			ValidArgsFunction: sh.Apps,
			RunE: func(cmd *cobra.Command, args []string) error {
				o.App = args[0]
				if full {
					o.Verb, o.Done = rollout.PromoteFull, "promoted past all the rest"
				}
				return Run(cmd.Context(), sh, o)
			},
		}
		if one.verb == rollout.Promote {
			cmd.Flags().BoolVar(&full, "full", false, "skip all the rest of the steps and pauses")
		}
		if one.waits {
			o.Wait.Register(cmd)
		}
		o.Output.Register(cmd, "text", "json")
		all = append(all, cmd)
	}
	return all
}

// Run gives the order and, if asked to, waits for what comes of it.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	t, err := sh.Target(ctx, o.Output)
	if err != nil {
		return err
	}
	before, err := t.Status(ctx, o.App)
	if err != nil {
		return err
	}
	now, err := t.Order(ctx, o.App, o.Verb)
	if err != nil {
		return err
	}
	if o.Wait.On {
		back := o.Verb == rollout.Abort || o.Verb == rollout.Undo && !before.Over()
		return o.Wait.Until(ctx, sh, t, o.App, status.Goal{Before: before, Back: back}, o.Output.JSON())
	}
	if o.Output.JSON() {
		return sh.Report(now)
	}
	sh.Printf("%s: %s by %s\n", o.App, o.Done, t.User(ctx))
	fmt.Fprintf(sh.Out, "  follow it: gapless status %s -w\n", o.App)
	return nil
}
