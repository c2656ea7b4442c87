// Package adopt is the command gapless adopt.
package adopt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/target"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/kube/verbs"
	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/report"
)

const long = `Put a Deployment into the care of Gapless: from then on, whoever changes its template begins a rollout by the strategy.

It shows the Rollout, what a rollout would do and what is to be known before, and makes the Rollout on yes. The
Deployment gets one label; its template is not touched and no pod is restarted. gapless eject undoes it.`

const example = `  gapless adopt deploy/demo-api --strategy canary
  gapless adopt deploy/demo-api --strategy blue-green -n shop --yes`

// strategies by the word on the command line.
var strategies = map[string]func() *v1alpha1.Strategy{
	"recreate":   func() *v1alpha1.Strategy { return &v1alpha1.Strategy{Recreate: &v1alpha1.Recreate{}} },
	"rolling":    func() *v1alpha1.Strategy { return &v1alpha1.Strategy{Rolling: &v1alpha1.Rolling{}} },
	"blue-green": func() *v1alpha1.Strategy { return &v1alpha1.Strategy{BlueGreen: &v1alpha1.BlueGreen{}} },
	"canary": func() *v1alpha1.Strategy {
		return &v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{{Weight: new(int32(25)), Pause: "30s"}, {Weight: new(int32(50)), Pause: "30s"}}}}
	},
}

// Options of the command.
type Options struct {
	Target   string
	Strategy string
	Check    string
	Yes      bool
	Output   shell.Output
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "adopt deploy/NAME",
		Short:   "Put a Deployment of a cluster into the care of Gapless",
		Long:    long,
		Example: example,
		Args:    shell.Args(1, 1, "deploy/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Target = args[0]
			return Run(cmd.Context(), sh, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Strategy, "strategy", "", "recreate, rolling, blue-green or canary (default the Deployment's own)")
	f.StringVar(&o.Check, "check", "", "`file` with a report of gapless check -o json, for what only a live test tells")
	f.BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	o.Output.Register(cmd, "text", "json")
	return cmd
}

// A Proposal is what an adoption would make, and what is to be known before.
type Proposal struct {
	Rollout *v1alpha1.Rollout `json:"rollout"`
	Preview report.Preview    `json:"preview"`
	Advice  Advice            `json:"advice"`
}

// Run shows, asks and adopts.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	name, err := deploymentName(o.Target)
	if err != nil {
		return err
	}
	r := &v1alpha1.Rollout{}
	r.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Rollout"))
	if o.Strategy != "" {
		make, known := strategies[o.Strategy]
		if !known {
			return exit.Usagef("--strategy is %q: give recreate, rolling, blue-green or canary", o.Strategy)
		}
		r.Spec.Strategy = make()
	}
	checked, err := lint.ReadCheckReport(os.ReadFile, o.Check)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	cluster, err := sh.Cluster(o.Output)
	if err != nil {
		return err
	}
	r.Name, r.Namespace = name, cluster.Place().Namespace
	p, err := propose(ctx, cluster, r, checked)
	if err != nil {
		return err
	}
	switch {
	case !o.Output.JSON():
		show(sh, p)
	case !o.Yes: // with it the JSON is what was made
		if err := sh.JSON(p); err != nil {
			return err
		}
	}
	if !o.Yes && !asked(sh) {
		sh.Warn("nothing was changed")
		return exit.Silently(exit.Failed)
	}
	if err := cluster.Client().Create(ctx, r); err != nil {
		return target.ClusterFailed(err)
	}
	if o.Output.JSON() {
		return sh.JSON(p)
	}
	return confirm(ctx, sh, cluster, r)
}

// propose finds out all that can be known before. Nothing is written.
func propose(ctx context.Context, cluster *verbs.Cluster, r *v1alpha1.Rollout, checked *lint.CheckReport) (Proposal, error) {
	p, c, where := Proposal{Rollout: r}, cluster.Client(), cluster.Place()
	taken, err := cluster.Adopted(ctx, r.Name)
	if err != nil {
		return p, target.ClusterFailed(err)
	}
	if len(taken) > 0 {
		return p, exit.Usagef("Deployment %s is adopted already, by Rollout %s; kubectl -n %s edit gro %s changes how it is rolled, gapless eject %s lets go of it", r.Name, taken[0], where.Namespace, taken[0], taken[0])
	}
	p.Preview, err = kube.PreviewOf(ctx, c, r, "the next version")
	if apierrors.IsNotFound(err) {
		return p, exit.Usagef("there is no Deployment %s in namespace %s", r.Name, where.Namespace)
	}
	if err != nil {
		return p, target.ClusterFailed(err)
	}
	p.Preview.On = &where
	if p.Advice, err = advise(ctx, cluster, r.Name, checked); err != nil {
		return p, target.ClusterFailed(err)
	}
	// The API server's own word, before anybody is asked anything.
	if err := c.Create(ctx, r.DeepCopy(), client.DryRunAll); err != nil {
		return p, exit.With(exit.Usage, err)
	}
	return p, nil
}

// takenUp is how long a controller may take to see a new Rollout.
const takenUp = 15 * time.Second

// confirm waits until the controller has the Deployment in its care, and says how it is held.
func confirm(ctx context.Context, sh *shell.Shell, cluster *verbs.Cluster, r *v1alpha1.Rollout) error {
	key := client.ObjectKeyFromObject(r)
	waiting, stop := context.WithTimeout(ctx, takenUp)
	defer stop()
	err := kube.Await(waiting, func(ctx context.Context) (bool, error) {
		err := cluster.Client().Get(ctx, key, r)
		return err == nil && meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionAdopted) != nil, err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("the Rollout is written, but no controller has taken it up within %s: kubectl -n gapless-system get pods; gapless install puts one in", takenUp)
	}
	if err != nil {
		return target.ClusterFailed(err)
	}
	adopted := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionAdopted)
	if adopted.Status != "True" {
		return fmt.Errorf("the Rollout is written, but refused: %s", adopted.Message)
	}
	sh.Printf("%s is adopted", r.Name)
	if g := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionGuarded); g != nil && g.Message != "" {
		sh.Printf(": %s", g.Message)
	}
	sh.Printf("\n  roll:  gapless deploy %s VERSION, or kubectl set image, or apply\n  look:  gapless status %s -w\n  leave: gapless eject %s\n", r.Name, r.Name, r.Name)
	return nil
}

func asked(sh *shell.Shell) bool {
	if !sh.Interactive() {
		sh.Warn("nobody is there to ask: say yes with --yes")
		return false
	}
	sh.Printf("Adopt it? [y/N] ")
	line, _ := bufio.NewReader(sh.In).ReadString('\n') // nothing is no
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}
