// Package controller is the command gapless controller.
package controller

import (
	"context"
	"errors"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/kube"
)

const long = `Drive the Rollouts of a Kubernetes cluster.

Inside a cluster it needs no flags; outside it uses a kubeconfig. Controllers share one lease: of several, in the cluster and
outside of it, one drives and the others stand by.

Stopping it is harmless: nothing that it has begun goes on by itself, stable serves, and the next one goes on where it was.`

const example = `  gapless controller                              in a pod
  gapless controller --kubeconfig ~/.kube/config  on your own machine`

// Options of the command.
type Options struct {
	Cluster        kube.Connection
	LeaseNamespace string
	Health         string
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "controller",
		Short:   "Drive the Rollouts of a Kubernetes cluster",
		Long:    long,
		Example: example,
		Args:    shell.Args(0, 0, "no words"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return Run(cmd.Context(), sh, o)
		},
	}
	f := cmd.Flags()
	o.Cluster.Register(f, "only this `namespace` (default all)")
	f.StringVar(&o.LeaseNamespace, "lease-namespace", "gapless-system", "namespace of the lease that controllers share")
	f.StringVar(&o.Health, "health", "", "`address` for /healthz and /readyz, such as :8081 (default: none)")
	return cmd
}

// Run drives until it is told to stop.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	config, _, err := o.Cluster.Config()
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err = kube.Run(ctx, kube.Options{
		Config: config, Namespace: o.Cluster.Namespace, LeaseNamespace: o.LeaseNamespace, Health: o.Health,
		Log: slog.New(slog.NewTextHandler(sh.Err, nil)),
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
