// Package report is the command gapless report.
package report

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/cli/shell"
	evidence "gapless.dev/gapless/internal/report"
)

// Options of the command.
type Options struct {
	App string
	// Revision is which; Latest is the newest, and History none but the list of all.
	Revision int
	Output   shell.Output
}

// Values of Options.Revision that are no revision.
const (
	Latest  = 0
	History = -1
)

const long = `Show the evidence of one revision: decisions with their reasons, phases, versions, requests, losses, the last lines of a candidate that failed.
Without --revision: the history, one line a revision.`

const example = `  gapless report demo-api
  gapless report demo-api --revision 4
  gapless report demo-api --revision latest -o html > report.html`

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	revision := ""
	cmd := &cobra.Command{
		Use:               "report NAME",
		Short:             "Show the evidence of a revision, or the history",
		Long:              long,
		Example:           example,
		Args:              shell.Args(1, 1, "NAME"),
		ValidArgsFunction: sh.Apps,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.App = args[0]
			var err error
			if o.Revision, err = parseRevision(revision); err != nil {
				return err
			}
			return Run(cmd.Context(), sh, o)
		},
	}
	cmd.Flags().StringVar(&revision, "revision", "", "`number` of the revision, or latest")
	o.Output.Register(cmd, "text", "json", "html", "junit")
	return cmd
}

func parseRevision(s string) (int, error) {
	switch s {
	case "":
		return History, nil
	case "latest":
		return Latest, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, exit.Usagef("--revision is %q: give a number from 1, or latest", s)
	}
	return n, nil
}

// Run asks for the report, or the history, and prints it.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	if o.Revision == History {
		return history(ctx, sh, o)
	}
	t, err := sh.Target(ctx, o.Output)
	if err != nil {
		return err
	}
	r, err := t.Report(ctx, o.App, o.Revision)
	if err != nil {
		return err
	}
	format, err := evidence.ParseFormat(o.Output.Format)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	return evidence.Write(sh.Out, format, r)
}

func history(ctx context.Context, sh *shell.Shell, o *Options) error {
	if f := o.Output.Format; f != "text" && f != "json" {
		return exit.Usagef("--output %s shows one revision: add --revision latest, or a number", f)
	}
	t, err := sh.Target(ctx, o.Output)
	if err != nil {
		return err
	}
	all, err := t.History(ctx, o.App)
	if err != nil {
		return err
	}
	if o.Output.JSON() {
		return sh.JSON(all)
	}
	List(sh.Out, o.App, all, sh.Paint())
	return nil
}

// List prints the history, newest first.
func List(w io.Writer, app string, all []evidence.Report, c paint.Palette) {
	if len(all) == 0 {
		fmt.Fprintf(w, "%s: nothing was rolled yet\n", app)
		return
	}
	var rows [][]string
	for _, r := range all {
		outcome := string(r.Outcome)
		switch r.Outcome {
		case evidence.Promoted:
			outcome = c.Good(outcome)
		case evidence.Aborted:
			outcome = c.Bad(outcome)
		}
		rows = append(rows, []string{
			strconv.Itoa(r.Revision), r.Strategy, r.Way(), outcome, r.Started.Local().Format(time.DateTime), evidence.Short(r.Took()), counted(r, c), paint.Clip(r.Message, 60),
		})
	}
	fmt.Fprint(w, paint.Table("", 2, c, []string{">revision", "strategy", "versions", "outcome", "started", ">took", ">lost", ""}, rows))
}

// counted is what was lost, as far as anybody counted: a probe if there was one, else the proxy.
func counted(r evidence.Report, c paint.Palette) string {
	var lost, sent int64
	if r.Traffic != nil {
		lost, sent = int64(r.Traffic.Lost), int64(r.Traffic.Requests)
	} else {
		for _, v := range r.Versions {
			if v.Counts != nil {
				lost += v.Counts.Errors + v.Counts.Status5xx
				sent += v.Counts.Requests
			}
		}
	}
	if sent == 0 {
		return c.Dim("no traffic")
	}
	text := evidence.Count(int(lost)) + " of " + evidence.Count(int(sent))
	if lost > 0 {
		return c.Bad(text)
	}
	return text
}
