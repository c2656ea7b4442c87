package verbs

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/report"
)

// Follow yields the standing of an app now and whenever its Rollout's status changes, until ctx ends. It needs the right to watch
// Rollouts and no other. The last pair carries the error.
func (c *Cluster) Follow(ctx context.Context, app string) iter.Seq2[report.Report, error] {
	return c.watch(ctx, app, false)
}

// Watch yields everything that stands of an app (of all of the namespace, if app is empty) now, whenever something of it changes, and once a
// second for the times, until ctx ends. The last pair carries the error.
func (c *Cluster) Watch(ctx context.Context, app string) iter.Seq2[report.Report, error] {
	return c.watch(ctx, app, true)
}

func (c *Cluster) watch(ctx context.Context, app string, everything bool) iter.Seq2[report.Report, error] {
	return func(yield func(report.Report, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		names := []string{}
		if app != "" {
			r, err := c.rollout(ctx, app)
			if err != nil {
				yield(report.Report{}, err)
				return
			}
			names = append(names, r.Name)
		}
		m, err := c.mirror(ctx, everything && c.maySee(ctx, names))
		if err != nil {
			yield(report.Report{}, err)
			return
		}
		m.asks = everything && !m.everything
		seen, probes := map[string]kept{}, &attached{}
		for {
			all, err := m.rollouts(ctx, c.place.Namespace, names)
			if err != nil {
				yield(report.Report{}, explain(err))
				return
			}
			if m.everything {
				c.attach(ctx, m, probes)
			}
			for _, r := range all {
				now, err := c.glance(ctx, m, r, seen)
				if t := probes.of(r.Target()); t != nil {
					now.Traffic = t
				}
				if err != nil && ctx.Err() == nil {
					yield(report.Report{}, explain(err))
					return
				}
				if ctx.Err() != nil || !yield(now, nil) {
					return
				}
			}
			if len(all) < len(names) {
				yield(report.Report{}, problem("Rollout %s is gone: its Deployment is not in the care of Gapless any more", names[0]))
				return
			}
			if !m.next(ctx) {
				yield(report.Report{}, ctx.Err())
				return
			}
		}
	}
}

// kept is what was written down of a revision, and for which status it was read. The status is written a moment before, so it is
// read once more.
type kept struct {
	of     string
	at     time.Time
	again  bool
	report report.Report
}

// aMoment is longer than a controller takes from one to the other.
const aMoment = 2 * time.Second

func (c *Cluster) glance(ctx context.Context, m *mirror, r *v1alpha1.Rollout, seen map[string]kept) (report.Report, error) {
	of := fmt.Sprint(r.Status.Revision, r.Status.Phase, r.Status.Step, r.Status.Reason, r.Status.Kept == nil)
	k := seen[r.Name]
	switch {
	case k.of != of:
		k = kept{of: of, at: time.Now(), report: c.kept(ctx, r)}
	case !k.again && time.Since(k.at) > aMoment:
		k.again, k.report = true, c.kept(ctx, r)
	}
	seen[r.Name] = k
	var now report.Report
	var err error
	switch {
	case m.everything:
		now, err = kube.ViewOf(ctx, m.Client, c.key(r), k.report)
	case m.asks:
		now, err = kube.ViewOf(ctx, c.client, c.key(r), k.report)
	default:
		now = kube.ViewOfStatus(r, k.report, time.Now())
	}
	now.On = &c.place
	return now, err
}

// A mirror holds a copy of what is looked at, and tells when it changes.
type mirror struct {
	client.Client
	// everything is copied, or the Rollouts alone; asks tells that the rest is asked for now and then, as far as it may be seen.
	everything, asks bool
	changed          chan struct{}
}

// maySee tells whether the user may look at more than Rollouts.
func (c *Cluster) maySee(ctx context.Context, names []string) bool {
	if len(names) == 0 {
		all, err := c.Apps(ctx)
		if err != nil || len(all) == 0 {
			return err == nil
		}
		names = all
	}
	now, err := kube.ViewOf(ctx, c.client, types.NamespacedName{Namespace: c.place.Namespace, Name: names[0]}, report.Report{})
	return err == nil && !slices.ContainsFunc(now.Notes, func(n string) bool { return strings.HasPrefix(n, kube.NotShown) })
}

// syncTime bounds how long the first copy may take.
const syncTime = 30 * time.Second

func (c *Cluster) mirror(ctx context.Context, everything bool) (*mirror, error) {
	scheme, err := kube.Scheme()
	if err != nil {
		return nil, err
	}
	options := cache.Options{
		Scheme: scheme, DefaultTransform: cache.TransformStripManagedFields(),
		DefaultNamespaces: map[string]cache.Config{c.place.Namespace: {}},
	}
	copies, err := cache.New(c.config, options)
	if err != nil {
		return nil, explain(err)
	}
	m := &mirror{everything: everything, changed: make(chan struct{}, 1)}
	kinds := []client.Object{&v1alpha1.Rollout{}}
	if everything {
		kinds = kube.Watched()
	}
	stir := func(any) {
		select {
		case m.changed <- struct{}{}:
		default:
		}
	}
	handler := toolscache.ResourceEventHandlerFuncs{AddFunc: stir, UpdateFunc: func(_, now any) { stir(now) }, DeleteFunc: stir}
	for _, kind := range kinds {
		informer, err := copies.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, explain(err)
		}
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, err
		}
	}
	go func() { _ = copies.Start(ctx) }() // its error is that ctx ended
	syncing, done := context.WithTimeout(ctx, syncTime)
	defer done()
	if !copies.WaitForCacheSync(syncing) {
		return nil, fmt.Errorf("%w: no list of the Rollouts in namespace %s within %s", ErrUnreachable, c.place.Namespace, syncTime)
	}
	m.Client, err = client.New(c.config, client.Options{Scheme: scheme, Cache: &client.CacheOptions{Reader: copies, Unstructured: true}})
	return m, explain(err)
}

func (m *mirror) rollouts(ctx context.Context, namespace string, names []string) ([]*v1alpha1.Rollout, error) {
	var all v1alpha1.RolloutList
	if err := m.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	var some []*v1alpha1.Rollout
	for i := range all.Items {
		if r := &all.Items[i]; len(names) == 0 || slices.Contains(names, r.Name) {
			some = append(some, r)
		}
	}
	return some, nil
}

// next waits for a change or, where everything is shown, for a second at most, since times are shown too. It is false when ctx has ended.
func (m *mirror) next(ctx context.Context) bool {
	var tired <-chan time.Time
	if m.everything || m.asks {
		second := time.NewTimer(time.Second)
		defer second.Stop()
		tired = second.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-m.changed:
	case <-tired:
	}
	return true
}
