// Package plan is the command gapless plan.
package plan

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/target"
	evidence "gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// Options of the command.
type Options struct {
	App, Version string
	More         target.DeployOptions
	Output       shell.Output
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:   "plan NAME VERSION",
		Short: "Tell what a deploy would do, without doing it",
		Long: `Tell what a deploy of VERSION would do: its steps, the weight and the processes or pods in each, and what to know before. Nothing is started.

Exit code 2 when the deploy would be refused.`,
		Args:              shell.Args(2, 2, "NAME VERSION"),
		ValidArgsFunction: sh.Apps,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.App, o.Version = args[0], args[1]
			return Run(cmd.Context(), sh, o)
		},
	}
	cmd.Flags().StringVar(&o.More.Container, "container", "", "`name` of the container whose image is meant, on a cluster (default the only one)")
	o.Output.Register(cmd, "text", "json")
	return cmd
}

// Run asks for the plan and prints it.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	t, err := sh.Target(ctx, o.Output)
	if err != nil {
		return err
	}
	p, err := t.Plan(ctx, o.App, o.Version, o.More)
	if err != nil {
		return err
	}
	if o.Output.JSON() {
		err = sh.JSON(p)
	} else {
		Text(sh.Out, p, sh.Paint())
	}
	if err == nil && p.Problem != "" {
		return exit.Silently(exit.Usage)
	}
	return err
}

// Text prints a preview for a person.
func Text(w io.Writer, p evidence.Preview, c paint.Palette) {
	fmt.Fprintf(w, "%s: %s of %s → %s, %s\n", c.Bold(p.App), p.Plan.Strategy, c.Stable(string(p.Stable)), c.Candidate(string(p.Wanted)), p.On.Instances(p.Replicas))
	if p.Problem != "" {
		fmt.Fprintf(w, "\n%s %s\n", c.Bad("refused:"), p.Problem)
	}
	if len(p.Steps) > 0 {
		var rows [][]string
		for i, s := range p.Steps {
			full, empty := paint.Bar(float64(s.Weight)/100, 10)
			rows = append(rows, []string{
				strconv.Itoa(i + 1), string(s.Phase), c.Candidate(full) + c.Dim(empty) + fmt.Sprintf(" %3d %%", s.Weight),
				strconv.Itoa(s.Stable), strconv.Itoa(s.Candidate), lasts(s), s.Text,
			})
		}
		fmt.Fprintf(w, "\n%s", paint.Table("  ", 2, c, []string{">", "phase", "weight", ">" + string(p.Stable), ">" + string(p.Wanted), "lasts", ""}, rows))
	}
	for i, note := range p.Notes {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "  note: %s\n", note)
	}
}

func lasts(s rollout.PlannedStep) string {
	switch {
	case s.Manual:
		return "until promote"
	case s.Pause > 0:
		return evidence.Short(s.Pause)
	}
	return ""
}
