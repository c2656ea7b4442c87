package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/target"
	evidence "gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// Wait are the flags of a command that may wait for the end of a rollout.
type Wait struct {
	On      bool
	Timeout time.Duration
}

// Register adds the flags.
func (w *Wait) Register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.On, "wait", false, "wait until the rollout is over; exit code 1 if its version did not become stable")
	cmd.Flags().DurationVar(&w.Timeout, "timeout", 0, "with --wait: give up waiting after this time; 0 waits for as long as it takes")
}

// longSilence is longer than a controller takes to see a changed template.
const longSilence = 20 * time.Second

// errTimeout is the cause of a context that ended because nobody wanted to wait longer.
var errTimeout = errors.New("not over yet")

// A Goal is what was ordered.
type Goal struct {
	// Before is the status from before the order.
	Before evidence.Report
	// Version shall be stable at the end; empty: whatever the rollout leads to.
	Version string
	// Another tells that a revision is to come after the one that was under way before.
	Another bool
	// Template tells that the order was given past Gapless, by a changed template that may not have been taken up yet.
	Template bool
	// Back tells that an abort is what was asked for.
	Back bool
}

// Until prints what happens until the rollout that was ordered is over, and returns an error if it did not reach the goal.
func (w *Wait) Until(ctx context.Context, sh *shell.Shell, t target.Target, app string, g Goal, asJSON bool) error {
	if w.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.Timeout, errTimeout)
		defer cancel()
	}
	last, follow := "", t.Follow
	if g.Template {
		follow = t.Watch
	}
	// On one machine whoever took the order in is there.
	silence := time.AfterFunc(longSilence, func() {
		if g.Version != "" && t.Place().Platform == evidence.Kube {
			sh.Warn("nothing has happened for %s; does a controller run? kubectl -n gapless-system get pods", longSilence)
		}
	})
	defer silence.Stop()
	for r, err := range follow(ctx, app) {
		if err != nil {
			if errors.Is(context.Cause(ctx), errTimeout) {
				return exit.With(exit.Failed, fmt.Errorf("%s is not over after %v: it goes on; look with gapless status %s", app, w.Timeout, app))
			}
			return err
		}
		if r.Revision != g.Before.Revision || r.Phase != g.Before.Phase {
			silence.Stop()
		}
		if line := Line(r); !asJSON && line != last {
			last = line
			sh.Printf("%s  %s\n", r.At.Local().Format("15:04:05"), line)
		}
		if !g.Over(r) {
			continue
		}
		if asJSON {
			return errors.Join(sh.Report(r), g.Verdict(r))
		}
		if len(r.Logs) > 0 {
			sh.Printf("last lines of the candidate:\n  %s\n", strings.Join(r.Logs, "\n  "))
		}
		return g.Verdict(r)
	}
	return ctx.Err()
}

// Over tells whether what was ordered has come to its end.
func (g Goal) Over(now evidence.Report) bool {
	if now.Phase != string(rollout.Idle) && now.Phase != string(rollout.Held) {
		return false
	}
	switch {
	case now.Revision > g.Before.Revision: // the order began a revision
		return now.Over()
	case !g.Another && !g.Before.Over() && g.Before.Revision > 0: // the order was about the revision that was under way
		return now.Over()
	case now.Phase == string(rollout.Held): // the version was refused before, and rests again; unless it is another that rested already
		return g.Before.Phase != string(rollout.Held) || g.Version == "" || g.Version == now.To
	}
	return g.Version != "" && Stable(now) == g.Version // there was nothing to do
}

// Verdict is the error that a rollout at its end leads to.
func (g Goal) Verdict(r evidence.Report) error {
	if r.Phase == string(rollout.Held) {
		return exit.With(exit.Failed, fmt.Errorf("%s is held: %s", r.App, r.Message))
	}
	if r.Outcome != evidence.Aborted || g.Back || g.Version != "" && Stable(r) == g.Version {
		return nil
	}
	refused := cmp.Or(g.Version, r.To)
	if g.Version == "" && !g.Before.Over() {
		refused = cmp.Or(g.Before.To, r.To)
	}
	return exit.With(exit.Failed, fmt.Errorf("%s: %s was aborted: %s", r.App, refused, r.Message))
}

func usageOneApp(all []evidence.Report) error {
	var names []string
	for _, r := range all {
		names = append(names, r.App)
	}
	return exit.Usagef("--wait needs the NAME of one app: %s", strings.Join(names, ", "))
}
