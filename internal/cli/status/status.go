// Package status is the command gapless status: what stands, once, line by line, or live.
package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/shell"
	evidence "gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

const long = `Show what stands of each app, or all that is known of one: phase, step, weights, processes or pods, requests and losses as far as they are counted: by the proxy on one machine, by a probe that runs on a cluster.

With -w it looks on until you press q: a live view on a terminal, else one line for each thing that happens.
With --wait it ends when the rollout that is under way is over, with exit code 1 if its version did not become stable; for CI.`

// Options of the command.
type Options struct {
	App    string // empty: all
	Watch  bool
	Wait   Wait
	Output shell.Output
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:               "status [NAME]",
		Short:             "Show what stands, once or live (-w)",
		Long:              long,
		Args:              shell.Args(0, 1, "[NAME]"),
		ValidArgsFunction: sh.Apps,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.App = args[0]
			}
			return Run(cmd.Context(), sh, o)
		},
	}
	cmd.Flags().BoolVarP(&o.Watch, "watch", "w", false, "look on until q or Ctrl-C")
	o.Wait.Register(cmd)
	o.Output.Register(cmd, "text", "json")
	return cmd
}

// Run shows the status.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	switch {
	case o.Wait.On:
		return waitForOne(ctx, sh, o)
	case o.Watch:
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return shell.Quiet(watch(ctx, sh, o), context.Canceled)
	}
	t, err := sh.Target(ctx, o.Output)
	if err != nil {
		return err
	}
	if o.App != "" {
		r, err := t.Status(ctx, o.App)
		if err != nil {
			return err
		}
		if o.Output.JSON() {
			return sh.Report(r)
		}
		sh.Printf("%s", Render(View{Report: r, Paint: sh.Paint()}, width(sh)))
		return nil
	}
	all, err := t.StatusAll(ctx)
	if err != nil {
		return err
	}
	if o.Output.JSON() {
		return sh.JSON(all)
	}
	sh.Printf("%s", Overview(all, sh.Paint(), width(sh)))
	return nil
}

// width of what is printed where there is no terminal to ask.
func width(sh *shell.Shell) int {
	if w := sh.Terminal(); w > 0 {
		return w
	}
	return 100
}

// watch shows every change.
func watch(ctx context.Context, sh *shell.Shell, o *Options) error {
	t, err := sh.Target(ctx, o.Output)
	if err != nil {
		return err
	}
	if !o.Output.JSON() && sh.Interactive() {
		return watchLive(ctx, sh, t, o.App)
	}
	last := map[string]string{}
	for r, err := range t.Watch(ctx, o.App) {
		if err != nil {
			return err
		}
		if o.Output.JSON() {
			if err := json.NewEncoder(sh.Out).Encode(r); err != nil {
				return err
			}
			continue
		}
		if line := Line(r); line != last[r.App] {
			last[r.App] = line
			sh.Printf("%s  %s\n", r.At.Local().Format("15:04:05"), line)
		}
	}
	return ctx.Err()
}

// Line is a status in one line that stays the same while nothing happens.
func Line(r evidence.Report) string {
	s := fmt.Sprintf("%s  %s", r.App, r.Way())
	if r.Over() {
		s = fmt.Sprintf("%s  %s", r.App, Stable(r))
	}
	s += "  " + r.Phase
	if r.Step > 0 {
		s += fmt.Sprintf(" step %d of %d", r.Step, r.Steps)
	}
	if !r.Over() && r.Phase != string(rollout.Idle) {
		s += fmt.Sprintf("  %d %%", r.Weight)
	}
	if r.Message != "" {
		s += "  " + r.Message
	}
	return s
}

// Stable is the version that serves now or, in the middle of a rollout, that served before.
func Stable(r evidence.Report) string {
	for _, v := range r.Versions {
		if v.Role == "stable" {
			return v.Name
		}
	}
	switch {
	case r.Outcome == evidence.Promoted, r.From == "":
		return r.To
	}
	return r.From
}

func waitForOne(ctx context.Context, sh *shell.Shell, o *Options) error {
	t, err := sh.Target(ctx, o.Output)
	if err != nil {
		return err
	}
	name := o.App
	if name == "" {
		all, err := t.StatusAll(ctx)
		if err != nil {
			return err
		}
		if len(all) != 1 {
			return usageOneApp(all)
		}
		name = all[0].App
	}
	now, err := t.Status(ctx, name)
	if err != nil {
		return err
	}
	if now.Over() {
		if o.Output.JSON() {
			return errors.Join(sh.Report(now), Goal{}.Verdict(now))
		}
		sh.Printf("%s\n", Line(now))
		return Goal{}.Verdict(now)
	}
	return o.Wait.Until(ctx, sh, t, name, Goal{Before: now, Template: true}, o.Output.JSON())
}
