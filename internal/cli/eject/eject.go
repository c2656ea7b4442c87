// Package eject is the command gapless eject.
package eject

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/rollout"
)

const long = `Take a Deployment out of the care of Gapless. At rest it touches no pod: a label goes, and the Rollout.

In the middle of a rollout it first goes back to stable; --promote goes on instead. --force does all of it from here, for when
the controller is gone; it also works when the Rollout itself, or its definition, is gone.`

const example = `  gapless eject demo-api
  gapless eject demo-api -n shop --force`

// Options of the command.
type Options struct {
	Name    string
	Promote bool
	Force   bool
	Timeout time.Duration
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "eject NAME|deploy/NAME",
		Short:   "Take a Deployment out of the care of Gapless, as it is",
		Long:    long,
		Example: example,
		Args:    shell.Args(1, 1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if kind, name, found := strings.Cut(o.Name, "/"); found && strings.HasPrefix(kind, "deploy") {
				o.Name = name
			}
			return Run(cmd.Context(), sh, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Promote, "promote", false, "in the middle of a rollout, go on to the candidate instead of back")
	f.BoolVar(&o.Force, "force", false, "do it from here, without the controller")
	f.DurationVar(&o.Timeout, "timeout", 10*time.Minute, "how long to wait until it is done")
	return cmd
}

// Run ejects and waits until nothing of ours is left.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	cluster, err := sh.Cluster(shell.Output{})
	if err != nil {
		return err
	}
	c, namespace := cluster.Client(), cluster.Place().Namespace
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := One(ctx, sh, c, types.NamespacedName{Namespace: namespace, Name: o.Name}, o.Promote, o.Force); err != nil {
		if errors.Is(err, context.DeadlineExceeded) && !o.Force {
			return fmt.Errorf("not done within %s; is a controller running? gapless eject %s -n %s --force does it from here", o.Timeout, o.Name, namespace)
		}
		return err
	}
	sh.Printf("%s/%s is out of the care of Gapless\n", namespace, o.Name)
	return nil
}

// One ejects what one Rollout rolls, and returns when that is done.
func One(ctx context.Context, sh *shell.Shell, c client.Client, key types.NamespacedName, promote, force bool) error {
	say := func(text string) { sh.Warn("  %s", text) }
	var r v1alpha1.Rollout
	err := c.Get(ctx, key, &r)
	switch {
	case kube.Gone(err) && force:
		return kube.BreakGlass(ctx, c, key.Namespace, key.Name, say)
	case kube.Gone(err):
		return exit.Usagef("there is no Rollout %s in namespace %s; if Deployment %s is still held, --force gives it back", key.Name, key.Namespace, key.Name)
	case err != nil:
		return err
	}
	deployment := r.Target()
	if promote && rollout.Active(rollout.Phase(r.Status.Phase)) {
		if err := finish(ctx, c, key, force, say); err != nil {
			return err
		}
	}
	if err := c.Delete(ctx, &r); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	done := func(ctx context.Context) (bool, error) {
		return kube.Ejected(ctx, c, key, deployment)
	}
	if !force {
		return kube.Await(ctx, watched(c, key, say, done))
	}
	rolloutGone := func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, key, &v1alpha1.Rollout{})
		return kube.Gone(err), client.IgnoreNotFound(err)
	}
	if err := kube.Drive(ctx, c, key, say, rolloutGone); err != nil {
		return err
	}
	return kube.BreakGlass(ctx, c, key.Namespace, deployment, say)
}

// finish promotes what is under way, and waits until it rests.
func finish(ctx context.Context, c client.Client, key types.NamespacedName, force bool, say func(string)) error {
	if err := kube.Give(ctx, c, key, rollout.PromoteFull, "eject --promote"); err != nil {
		return err
	}
	rests := func(ctx context.Context) (bool, error) {
		var r v1alpha1.Rollout
		if err := c.Get(ctx, key, &r); err != nil {
			return false, err
		}
		return r.Status.Phase == string(rollout.Idle) && r.Status.Kept == nil, nil
	}
	if force {
		return kube.Drive(ctx, c, key, say, rests)
	}
	return kube.Await(ctx, watched(c, key, say, rests))
}

// watched is done, and says meanwhile what the controller says.
func watched(c client.Client, key types.NamespacedName, say func(string), done func(context.Context) (bool, error)) func(context.Context) (bool, error) {
	said := ""
	return func(ctx context.Context) (bool, error) {
		var r v1alpha1.Rollout
		if err := c.Get(ctx, key, &r); err == nil && rollout.Active(rollout.Phase(r.Status.Phase)) && r.Status.Message != said {
			said = r.Status.Message
			say(said)
		}
		return done(ctx)
	}
}
