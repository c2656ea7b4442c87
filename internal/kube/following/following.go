// Package following has the git repositories that Rollouts follow decide what their Deployments run. It changes a Deployment's template as
// a person would; how that is rolled is not its matter.
package following

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/follow"
)

// Followers follow for every Rollout that asks for it. They run in the controller that leads.
type Followers struct {
	// Client reads Secrets from the API server itself, one at a time and by name: it may neither list nor watch them.
	Client client.Client
	Cache  cache.Cache
	Events events.EventRecorder
	Log    *slog.Logger

	mu  sync.Mutex
	all map[types.NamespacedName]*follower
	wg  sync.WaitGroup
	ctx context.Context
}

// follower follows for one Rollout, by one version of its spec.
type follower struct {
	spec v1alpha1.Follow
	wake chan struct{}
	stop context.CancelFunc
}

// NeedLeaderElection: two that start different versions would fight.
func (f *Followers) NeedLeaderElection() bool { return true }

// Start follows until ctx ends, and returns when every follower has ended.
func (f *Followers) Start(ctx context.Context) error {
	f.ctx, f.all = ctx, map[types.NamespacedName]*follower{}
	informer, err := f.Cache.GetInformer(ctx, &v1alpha1.Rollout{})
	if err != nil {
		return fmt.Errorf("watch Rollouts: %w", err)
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { f.changed(nil, o) },
		UpdateFunc: f.changed,
		DeleteFunc: f.deleted,
	}); err != nil {
		return err
	}
	<-ctx.Done()
	f.wg.Wait()
	return nil
}

func (f *Followers) changed(before, now any) {
	r, ok := now.(*v1alpha1.Rollout)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key := client.ObjectKeyFromObject(r)
	one, runs := f.all[key]
	wanted := r.Spec.Follow != nil && r.DeletionTimestamp == nil
	if runs && (!wanted || !equality.Semantic.DeepEqual(one.spec, *r.Spec.Follow)) {
		one.stop()
		delete(f.all, key)
		runs = false
	}
	switch was, had := before.(*v1alpha1.Rollout); {
	case f.ctx.Err() != nil || !wanted:
	case !runs:
		f.begin(key, *r.Spec.Follow)
	case had && spokenTo(was, r):
		one.nudge()
	}
}

// spokenTo tells whether somebody has said something to who follows: a yes, or that there is something to look at.
func spokenTo(was, now *v1alpha1.Rollout) bool {
	for _, name := range []string{v1alpha1.AnnotationYes, v1alpha1.AnnotationLook} {
		if text := now.Annotations[name]; text != "" && text != was.Annotations[name] {
			return true
		}
	}
	return false
}

func (f *Followers) deleted(o any) {
	if last, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = last.Obj
	}
	r, ok := o.(*v1alpha1.Rollout)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key := client.ObjectKeyFromObject(r)
	if one, runs := f.all[key]; runs {
		one.stop()
		delete(f.all, key)
	}
}

// begin follows for a Rollout. f.mu is held.
func (f *Followers) begin(key types.NamespacedName, spec v1alpha1.Follow) {
	ctx, stop := context.WithCancel(f.ctx)
	one := &follower{spec: spec, wake: make(chan struct{}, 1), stop: stop}
	f.all[key] = one
	log := f.Log.With("rollout", key.String())
	p := &place{client: f.Client, events: f.Events, log: log, key: key, spec: spec}
	f.wg.Go(func() {
		run := &follow.Follower{Place: p, Renew: p.source}
		run.Run(ctx, one.wake, func(err error) {
			if client.IgnoreNotFound(err) != nil {
				log.Warn("follow: " + err.Error())
			}
		})
	})
}

func (o *follower) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
