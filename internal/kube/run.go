package kube

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube/following"
	"gapless.dev/gapless/internal/metrics"
)

// LeaseName is the lease that controllers lead by. One in the cluster and one outside of it share it.
const LeaseName = "gapless-controller"

// Options of a controller.
type Options struct {
	Config *rest.Config
	// Namespace to watch; empty: all.
	Namespace string
	// LeaseNamespace is where the lease lies. Default: gapless-system.
	LeaseNamespace string
	// Keys is the folder that gates find keys and tokens in; empty: there are none.
	Keys string
	// Metrics gets what a Prometheus may see. Nil: nobody does.
	Metrics prometheus.Registerer
	// Version of the program.
	Version string
	Log     *slog.Logger
}

// Scheme knows every kind that is read as a type.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(s); err != nil {
		return nil, err
	}
	return s, v1alpha1.AddToScheme(s)
}

// Answers tells whether the cluster answers and knows Rollouts.
func Answers(ctx context.Context, o Options) error {
	scheme, err := Scheme()
	if err != nil {
		return err
	}
	c, err := client.New(o.Config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	return c.List(ctx, &v1alpha1.RolloutList{}, client.InNamespace(o.Namespace), client.Limit(1))
}

// Hooks takes the calls of git hosts, at /hooks/NAMESPACE/ROLLOUT.
func Hooks(o Options) (http.Handler, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	c, err := client.New(o.Config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return following.Hook(c), nil
}

// Run is the controller: it leads, or waits to, and drives every Rollout until ctx ends.
func Run(ctx context.Context, o Options) error {
	scheme, err := Scheme()
	if err != nil {
		return err
	}
	if o.LeaseNamespace == "" {
		o.LeaseNamespace = "gapless-system"
	}
	config := rest.CopyConfig(o.Config)
	config.QPS, config.Burst = 200, 400 // the API server's own priorities keep it from being flooded
	config.UserAgent = "gapless-controller"
	options := manager.Options{
		Scheme: scheme,
		Logger: logr.FromSlogHandler(o.Log.Handler()),
		Cache:  cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		// ConfigMaps are not watched: each is read once, by its name. Nor are Jobs, which only a gate looks at, while it is asked.
		Client: client.Options{Cache: &client.CacheOptions{Unstructured: true, DisableFor: []client.Object{&corev1.ConfigMap{}, &batchv1.Job{}, &batchv1.CronJob{}}}},

		LeaderElection: true, LeaderElectionID: LeaseName, LeaderElectionNamespace: o.LeaseNamespace,
		LeaderElectionReleaseOnCancel: true,

		Metrics: server.Options{BindAddress: "0"},
	}
	if o.Namespace != "" {
		options.Cache.DefaultNamespaces = map[string]cache.Config{o.Namespace: {}}
	}
	m, err := manager.New(config, options)
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	if err := index(ctx, m.GetFieldIndexer()); err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	// Secrets are neither listed nor watched, and Deployments are read as types, so this one reads from the API server itself.
	direct, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	if err := m.Add(&following.Followers{Client: direct, Cache: m.GetCache(), Events: m.GetEventRecorder("gapless"), Log: o.Log}); err != nil {
		return err
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	shown := metrics.New(o.Metrics, o.Version)
	fleet := &Fleet{Client: m.GetClient(), Live: m.GetAPIReader(), Cache: m.GetCache(), Events: m.GetEventRecorder("gapless"), Log: o.Log, Keys: o.Keys, Metrics: shown, Witness: &Witness{clients}}
	if err := m.Add(fleet); err != nil {
		return err
	}
	return m.Start(ctx)
}
