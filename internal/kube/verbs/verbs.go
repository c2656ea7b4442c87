// Package verbs is what a person can ask of the apps of a cluster: the same as of those on one machine. It reads the objects and writes what
// a person could write by hand; the controller does the rest.
package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/report"
)

// A Cluster is one namespace of a cluster, as one user may use it.
type Cluster struct {
	client client.Client
	config *rest.Config
	place  report.Place

	whoOnce sync.Once
	who     string
}

// A Problem is what a person has to put right before it can be done. Nothing was changed.
type Problem struct{ Text string }

func (p *Problem) Error() string { return p.Text }

func problem(format string, args ...any) error { return &Problem{fmt.Sprintf(format, args...)} }

// ErrUnreachable is what errors wrap when the API server does not answer.
var ErrUnreachable = errors.New("the cluster does not answer")

// Connect finds the cluster. It does not speak to it yet.
func Connect(c kube.Connection) (*Cluster, error) {
	place, err := c.Place()
	if err != nil {
		return nil, err
	}
	config, _, err := c.Config()
	if err != nil {
		return nil, err
	}
	direct, _, err := c.Connect()
	if err != nil {
		return nil, explain(err)
	}
	return &Cluster{client: direct, config: config, place: place}, nil
}

// Place says which cluster, and which namespace.
func (c *Cluster) Place() report.Place { return c.place }

// Client reads from the API server itself.
func (c *Cluster) Client() client.Client { return c.client }

// User is who asks, by the name that the cluster knows.
func (c *Cluster) User(ctx context.Context) string {
	c.whoOnce.Do(func() {
		review := &authenticationv1.SelfSubjectReview{}
		if err := c.client.Create(ctx, review); err == nil {
			c.who = review.Status.UserInfo.Username
		}
		if c.who == "" {
			c.who = "somebody whose name the cluster does not tell"
		}
	})
	return c.who
}

// Apps are the names of the Rollouts.
func (c *Cluster) Apps(ctx context.Context) ([]string, error) {
	all, err := c.rollouts(ctx)
	names := []string{}
	for i := range all {
		names = append(names, all[i].Name)
	}
	return names, err
}

func (c *Cluster) rollouts(ctx context.Context) ([]v1alpha1.Rollout, error) {
	var all v1alpha1.RolloutList
	err := c.client.List(ctx, &all, client.InNamespace(c.place.Namespace))
	return all.Items, explain(err)
}

// rollout finds the Rollout of an app: by its own name, or by that of its Deployment.
func (c *Cluster) rollout(ctx context.Context, app string) (*v1alpha1.Rollout, error) {
	app = strings.TrimPrefix(strings.TrimPrefix(app, "deployment/"), "deploy/")
	all, err := c.rollouts(ctx)
	if err != nil {
		return nil, err
	}
	names := []string{}
	var by *v1alpha1.Rollout
	for i := range all {
		r := &all[i]
		if r.Name == app {
			return r, nil
		}
		if r.Target() == app {
			by = r
		}
		names = append(names, r.Name)
	}
	if by != nil {
		return by, nil
	}
	if stands, err := kube.DeploymentStands(ctx, c.client, c.place.Namespace, app); err == nil && stands {
		return nil, problem("Deployment %s in namespace %s is not in the care of Gapless: gapless adopt deploy/%s", app, c.place.Namespace, app)
	}
	if len(names) == 0 {
		return nil, problem("there is no app %q in namespace %s, and no other either: gapless adopt deploy/NAME takes one into care; -n names another namespace", app, c.place.Namespace)
	}
	return nil, problem("there is no app %q in namespace %s; there are: %s", app, c.place.Namespace, strings.Join(names, ", "))
}

func (c *Cluster) key(r *v1alpha1.Rollout) types.NamespacedName { return client.ObjectKeyFromObject(r) }

// explain makes an error of the cluster one that a person can act on.
func explain(err error) error {
	var op *net.OpError
	var at *url.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case kube.NotInstalled(err):
		return problem("this cluster does not know Rollouts: gapless install | kubectl apply -f -")
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err), apierrors.IsInvalid(err):
		return problem("the cluster refuses: %s", strings.TrimSuffix(err.Error(), "."))
	case errors.As(err, &op), errors.As(err, &at), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// answerTime bounds how long a verb waits for the controller to take its word in.
const answerTime = 15 * time.Second
