package kube

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"gapless.dev/gapless/internal/report"
)

// ErrNoCluster is what Connect wraps when no kubeconfig leads to a cluster.
var ErrNoCluster = errors.New("no cluster")

// A Connection says how a command reaches its cluster.
type Connection struct {
	// Kubeconfig is a file. Default: KUBECONFIG, the pod's own account, or ~/.kube/config.
	Kubeconfig string
	// Context of it. Default: its current one.
	Context string
	// Namespace. Default: that of the context.
	Namespace string
}

// Register adds the flags of a connection.
func (c *Connection) Register(f *pflag.FlagSet, namespace string) {
	f.StringVar(&c.Kubeconfig, "kubeconfig", "", "`file` with the cluster's address and credentials (default KUBECONFIG, the pod's own, or ~/.kube/config)")
	f.StringVar(&c.Context, "context", "", "`name` of a context of the kubeconfig (default its current one)")
	f.StringVarP(&c.Namespace, "namespace", "n", "", namespace)
}

func (c *Connection) loading() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.Kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.Context})
}

// Place names the cluster as its user does, and the namespace.
func (c *Connection) Place() (report.Place, error) {
	_, namespace, err := c.Config()
	if err != nil {
		return report.Place{}, err
	}
	p := report.Place{Platform: report.Kube, Context: c.Context, Namespace: namespace}
	if p.Context == "" {
		if raw, err := c.loading().RawConfig(); err == nil {
			p.Context = raw.CurrentContext
		}
	}
	return p, nil
}

// Config is where the cluster is and who asks, and the namespace that is meant.
func (c *Connection) Config() (*rest.Config, string, error) {
	loading := c.loading()
	config, err := loading.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w; name a file with --kubeconfig", ErrNoCluster, err)
	}
	namespace := c.Namespace
	if namespace == "" {
		if namespace, _, err = loading.Namespace(); err != nil {
			return nil, "", fmt.Errorf("%w: %w", ErrNoCluster, err)
		}
	}
	return config, namespace, nil
}

// ServesPolicies tells whether the cluster serves the policies that hold a changed template and let pods drain: Kubernetes does since 1.36.
func ServesPolicies(config *rest.Config) (bool, error) {
	config = rest.CopyConfig(config)
	config.Timeout = 5 * time.Second
	asking, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return false, err
	}
	served, err := asking.ServerResourcesForGroupVersion("admissionregistration.k8s.io/v1")
	if err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == "mutatingadmissionpolicies" }), nil
}

// Connect returns a client that reads from the API server itself, and the namespace that is meant.
func (c *Connection) Connect() (client.Client, string, error) {
	config, namespace, err := c.Config()
	if err != nil {
		return nil, "", err
	}
	config.QPS, config.Burst = 50, 100
	ctrllog.SetLogger(logr.Discard()) // a command says itself what there is to say
	scheme, err := Scheme()
	if err != nil {
		return nil, "", err
	}
	direct, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrNoCluster, err)
	}
	return direct, namespace, nil
}
