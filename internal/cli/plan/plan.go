// Package plan is the command gapless plan.
package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/local"
	evidence "gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// Options of the command.
type Options struct {
	App, Version string
	Output       shell.Output
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:   "plan NAME VERSION",
		Short: "Tell what a deploy would do, without doing it",
		Long: `Tell what a deploy of VERSION would do: its steps, the weight and the processes in each, and what to know before. Nothing is started.

Exit code 2 when the deploy would be refused.`,
		Args:              shell.Args(2, 2, "NAME VERSION"),
		ValidArgsFunction: sh.Apps,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.App, o.Version = args[0], args[1]
			return Run(cmd.Context(), sh, o)
		},
	}
	o.Output.Register(cmd, "text", "json")
	return cmd
}

// Run asks for the plan and prints it.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	if err := app.ValidVersion(o.Version); err != nil {
		return exit.With(exit.Usage, err)
	}
	p, err := sh.Client().Plan(ctx, o.App, rollout.Version(o.Version))
	if err != nil {
		return shell.Failed(err)
	}
	if o.Output.JSON() {
		enc := json.NewEncoder(sh.Out)
		enc.SetIndent("", "  ")
		err = enc.Encode(p)
	} else {
		Text(sh.Out, p, sh.Paint())
	}
	if err == nil && p.Problem != "" {
		return exit.Silently(exit.Usage)
	}
	return err
}

// Text prints a preview for a person.
func Text(w io.Writer, p local.Preview, c paint.Palette) {
	fmt.Fprintf(w, "%s: %s of %s → %s, %s\n", c.Bold(p.App), p.Plan.Strategy, c.Stable(string(p.Stable)), c.Candidate(string(p.Wanted)), count(p.Replicas, "process", "processes"))
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

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
