// Package demo is the command gapless demo: the main job, seen. Version 1.0.0 of a service is replaced by 2.0.0 under load, by each
// strategy, and every request is counted.
package demo

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/rollout"
)

const long = `Replace version 1.0.0 of a service by 2.0.0 under load, by each of the four strategies, and count every request.

The service is examples/api-status, once naive (http.ListenAndServe, dies on SIGTERM) and once prepared (served by kit). Its processes run on
this machine behind the built-in proxy, in a temporary folder; a prober sends requests on a fixed schedule, half of them on new connections,
each attempted once. For comparison the naive service is also stopped and started again directly, without Gapless.

What is seen over time: 1 is a stretch answered by 1.0.0, 2 by 2.0.0; x had losses, and in one marked . most were lost.

Exit code 1 if rolling, blue-green or canary lost anything. Recreate has a downtime by its nature, and shows it.`

const example = `  gapless demo
  gapless demo --strategy canary --service naive --rate 500
  gapless demo --report demo.html`

// Options of the command.
type Options struct {
	Strategy string
	Service  string
	Rate     float64
	Replicas int
	// Start is how long the service takes to start.
	Start  time.Duration
	Report string
	Output shell.Output
}

// Names that stand for several.
const (
	all  = "all"
	both = "both"
)

// Services of the demo.
const (
	naive    = "naive"
	prepared = "prepared"
)

var strategies = []rollout.Strategy{rollout.Recreate, rollout.Rolling, rollout.BlueGreen, rollout.Canary}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "See the four strategies replace a service under load, every request counted",
		Long:    long,
		Example: example,
		Args:    shell.Args(0, 0, "no arguments"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return Run(cmd.Context(), sh, o) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&o.Strategy, "strategy", all, "recreate, rolling, blue-green, canary or all")
	fs.StringVar(&o.Service, "service", both, "naive, prepared or both")
	fs.Float64Var(&o.Rate, "rate", 300, "requests per second")
	fs.IntVar(&o.Replicas, "replicas", 3, "processes of the service")
	fs.DurationVar(&o.Start, "start-delay", 500*time.Millisecond, "how long the service takes to start")
	fs.StringVar(&o.Report, "report", "", "`file` to write as well: .html, .json or .txt")
	o.Output.Register(cmd, "table", "json", "html")
	return cmd
}

// Run goes through the cells one after the other and shows what was counted.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	cells, err := o.cells()
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	file, err := openReport(o.Report)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	// Ctrl-C ends the run; what was started is stopped before the command returns, so a second one is not needed and does nothing.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	b := newBoard(*o, cells, sh.Paint())
	showing := show(ctx, sh, b)
	err = measure(showing.ctx, o, cells, b)
	showing.stop()
	if showing.left() {
		err = errInterrupted
	}
	results := b.results()
	if len(results) > 0 || err == nil {
		err = errors.Join(err, print(sh, o, results), file.write(o, results))
	}
	switch {
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return exit.With(exit.Failed, errInterrupted)
	case err != nil:
		return err
	case lostAny(results):
		return exit.Silently(exit.Failed)
	}
	return nil
}

var errInterrupted = errors.New("interrupted: what was started is stopped")

// A cell is one run to be made.
type cell struct {
	strategy rollout.Strategy
	service  string
}

// direct is the comparison: the process is stopped and started by hand, without Gapless.
const direct rollout.Strategy = "direct"

func (o *Options) cells() ([]cell, error) {
	if o.Strategy != all && !slices.Contains(strategies, rollout.Strategy(o.Strategy)) {
		return nil, exit.Usagef("--strategy is %q: give recreate, rolling, blue-green, canary or all", o.Strategy)
	}
	if !slices.Contains([]string{both, naive, prepared}, o.Service) {
		return nil, exit.Usagef("--service is %q: give naive, prepared or both", o.Service)
	}
	switch {
	case o.Rate < 1 || o.Rate > 10_000:
		return nil, exit.Usagef("--rate is %g: give 1 to 10000", o.Rate)
	case o.Replicas < 1 || o.Replicas > 50:
		return nil, exit.Usagef("--replicas is %d: give 1 to 50", o.Replicas)
	case o.Start < 0 || o.Start > 30*time.Second:
		return nil, exit.Usagef("--start-delay is %v: give 0s to 30s", o.Start)
	}
	var cells []cell
	for _, s := range strategies {
		for _, service := range []string{naive, prepared} {
			if (o.Strategy == all || o.Strategy == string(s)) && (o.Service == both || o.Service == service) {
				cells = append(cells, cell{s, service})
			}
		}
	}
	if o.Strategy == all && o.Service != prepared {
		cells = append(cells, cell{direct, naive})
	}
	return cells, nil
}

// measure makes the runs one after the other: two loads at once would measure each other.
func measure(ctx context.Context, o *Options, cells []cell, b *board) error {
	for i, c := range cells {
		b.begin(i)
		run := replace
		if c.strategy == direct {
			run = stopDirectly
		}
		r, err := run(ctx, o, c, b)
		if err != nil {
			return err
		}
		b.end(r)
	}
	return nil
}

// lostAny tells whether a strategy lost something that must not.
func lostAny(results []Result) bool {
	return slices.ContainsFunc(results, func(r Result) bool { return r.mustNotLose() && r.Traffic.Lost > 0 })
}

// mustNotLose: a recreate, and a stop without Gapless, have a downtime by their nature.
func (r Result) mustNotLose() bool {
	return r.Strategy != string(rollout.Recreate) && r.Strategy != string(direct)
}
