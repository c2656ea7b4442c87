// Package controller is the command gapless controller.
package controller

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"gapless.dev/kit"

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
	Namespace      string
	LeaseNamespace string
	Health         string
	Keys           string
	Metrics        string
	Hooks          string
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
	f.StringVarP(&o.Namespace, "namespace", "n", "", "only this `namespace` (default all)")
	f.StringVar(&o.LeaseNamespace, "lease-namespace", "gapless-system", "`namespace` of the lease that controllers share")
	f.StringVar(&o.Keys, "keys", "", "`folder` with the keys and tokens that gates name, a file each (default none)")
	f.StringVar(&o.Metrics, "metrics", "", "`address` for /metrics, such as :8080 (default none)")
	f.StringVar(&o.Health, "health", "", "`address` for /livez, /readyz and /statusz, such as :8081 (default none)")
	f.StringVar(&o.Hooks, "hooks", "", "`address` for the calls of git hosts, at /hooks/NAMESPACE/ROLLOUT, such as :8082 (default none)")
	return cmd
}

// Run drives until it is told to stop, and then ends what it is at.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	cluster := sh.Where.Cluster
	cluster.Namespace = o.Namespace
	config, _, err := cluster.Config()
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	log := slog.New(slog.NewTextHandler(sh.Err, nil))
	options := kube.Options{Config: config, Namespace: o.Namespace, LeaseNamespace: o.LeaseNamespace, Keys: o.Keys, Version: sh.Version, Log: log}

	// Nobody sends it requests, so there is no drain: the lease is given up at once, and another controller goes on.
	budget := kit.DefaultBudget()
	budget.Drain = 0
	svc := kit.New(kit.WithLogger(log), kit.WithBudget(budget), kit.WithVersion(sh.Version))
	svc.ReadyWhen("cluster", func(ctx context.Context) error { return kube.Answers(ctx, options) })
	if o.Metrics != "" {
		shown := prometheus.NewRegistry()
		options.Metrics = shown
		mux := http.NewServeMux()
		mux.Handle("/metrics", promhttp.HandlerFor(prometheus.Gatherers{shown, ctrlmetrics.Registry}, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
		svc.HTTP("metrics", &http.Server{Addr: o.Metrics, Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second})
	}
	svc.Go("controller", func(ctx context.Context) error { return kube.Run(ctx, options) })
	if o.Hooks != "" {
		hooks, err := kube.Hooks(options)
		if err != nil {
			return err
		}
		svc.HTTP("hooks", &http.Server{Addr: o.Hooks, Handler: hooks, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second})
	}
	if o.Health != "" {
		svc.Health(o.Health)
	}
	if code := svc.Run(ctx); code != exit.OK {
		return exit.Silently(code)
	}
	return nil
}
