// Package pod is the service as pods of a cluster: what the Z rules start and stop is a copy of a Deployment's pod, so that nobody who
// is served by the Deployment notices.
package pod

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"gapless.dev/kit/kittest"
)

// A Target is the pods of a Deployment.
type Target struct {
	Client     kubernetes.Interface
	Deployment *appsv1.Deployment
	Container  string // the one that serves
	Declared   kittest.Spec
	Port       int
	HealthPort int // 0: Port
	GRPCPort   int // 0: Port

	// Serving: the Deployment's own pods are stopped, not copies.
	Serving bool

	mu   sync.Mutex
	used map[string]bool // serving pods that were stopped already
}

// Label marks copies. It is the only label that they have, so that no Service and no ReplicaSet selects them.
const Label = "gapless.dev/check"

// Spec is what was declared. Copies run side by side; serving pods are stopped one at a time.
func (t *Target) Spec() kittest.Spec {
	s := t.Declared
	s.Hooked = true
	if t.Serving {
		s.Parallel = 1
	}
	if s.Tolerance == 0 {
		s.Tolerance = lag
	}
	s.Skip = map[string]string{
		"Z15": "a kubelet sends SIGTERM once; try it on the process",
		"Z20": "what outlives process 1 of a container ends with it",
	}
	if t.Serving {
		s.Skip["Z16"] = "the pods that serve are ready already"
	}
	return s
}

// lag is what a kubelet takes from an order to its effect, and from that to its word of it.
const lag = 1500 * time.Millisecond

// Start starts a copy, or takes the next of the pods that serve, and returns when it has an address and its container runs.
func (t *Target) Start(ctx context.Context, env ...string) (kittest.Instance, error) {
	in := newInstance(t)
	made, err := t.make(ctx, env)
	if err != nil {
		return nil, err
	}
	in.name = made.Name
	ctx, cancel := context.WithTimeout(ctx, t.Declared.WithDefaults().Startup)
	defer cancel()
	if err := in.follow(ctx, made); err != nil {
		in.Kill()
		return nil, err
	}
	return in, nil
}

func (t *Target) make(ctx context.Context, env []string) (*corev1.Pod, error) {
	if t.Serving {
		return t.next(ctx)
	}
	made, err := t.Client.CoreV1().Pods(t.Deployment.Namespace).Create(ctx, t.copyOf(env), metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create a copy of the pod: %w", err)
	}
	return made, nil
}

// next is a ready pod of the Deployment that was not stopped yet. It waits until the Deployment has all its pods again.
func (t *Target) next(ctx context.Context) (*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(t.Deployment.Spec.Selector)
	if err != nil {
		return nil, err
	}
	limit := time.Now().Add(t.Declared.WithDefaults().Startup)
	for {
		ready, err := t.ready(ctx, selector)
		if err != nil {
			return nil, err
		}
		if want := replicas(t.Deployment); len(ready) >= want {
			for i := range ready {
				if t.take(ready[i].Name) {
					return &ready[i], nil
				}
			}
		}
		if time.Now().After(limit) {
			return nil, fmt.Errorf("of Deployment %s %d of %d pods are ready: nothing is stopped before all are", t.Deployment.Name, len(ready), replicas(t.Deployment))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func replicas(d *appsv1.Deployment) int {
	if d.Spec.Replicas == nil {
		return 1
	}
	return int(*d.Spec.Replicas)
}

func (t *Target) take(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used == nil {
		t.used = make(map[string]bool)
	}
	if t.used[name] {
		return false
	}
	t.used[name] = true
	return true
}

func (t *Target) ready(ctx context.Context, selector labels.Selector) (ready []corev1.Pod, err error) {
	all, err := t.Client.CoreV1().Pods(t.Deployment.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, err
	}
	for _, p := range all.Items {
		if p.DeletionTimestamp == nil && isReady(&p) {
			ready = append(ready, p)
		}
	}
	return ready, nil
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func address(ip string, port int) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }
