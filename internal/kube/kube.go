// Package kube is the platform Kubernetes: it drives the user's own Deployment in place.
//
// Two versions stand side by side as two ReplicaSets of the one Deployment. That is possible while the Deployment is paused and its
// strategy is Recreate: then the native controller leaves both alone, as long as the one that the template asks for
// does not look complete to it. So nothing of the user's is copied, and whoever looks sees the Deployment that they wrote.
package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/internal/controller"
	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/notify"
	"gapless.dev/gapless/internal/rollout"
)

// An App is one Rollout and its Deployment. It is a controller.Platform. Its methods are called one at a time, but for Stir.
type App struct {
	// Client reads from a cache and writes to the API server.
	Client client.Client
	// Live reads what is not watched from the API server itself. Nil: Client does.
	Live client.Reader
	// Watch has Stir called when an object of a kind changes, from now on. Nil: Client reads from the API server itself.
	Watch func(context.Context, schema.GroupVersionKind) error
	// Key of the Rollout.
	Key types.NamespacedName
	// Meta reads the metadata of what spec.config names. Nil: Client does.
	Meta client.Reader
	// Indexed tells that Client has the indexes of index.go, and that what it lists is the cache's own and not a copy.
	Indexed bool
	// Events is told what happens. Nil: nobody is.
	Events events.EventRecorder
	// Witness asks pods why they do not come up. Nil: what their status says has to do.
	Witness *Witness
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Keys is the folder that gates find keys and tokens in; empty: there are none.
	Keys string
	// Gates are asked by it. Its Wake must be set where the Rollout has gates.
	Gates gate.Panel
	notes notify.Sender
	// LooksOn tells that nothing may be written: somebody only looks.
	LooksOn bool

	wrote       written
	texts       texts
	lent        map[string]policyv1.PodDisruptionBudgetSpec // what the user's budgets were set to
	shown       rollout.Snapshot
	unsaid      *unsaid
	seen        *look
	state       rollout.State
	proved      bool                     // the guard held a dry run
	configAgain time.Time                // until then spec.config is not looked at: it could not be
	doubted     time.Time                // since when it did not
	taken       map[rollout.Version]bool // names that ReplicaSets of others have
	warned      string
	kept        evidence
	heard       testimony
	trouble     string // why the last action could not be carried out
	sight       atomic.Pointer[sight]
	stir        chan struct{}
	stirMu      sync.Once
	known       map[string]map[string]bool // what rarely changes
	shadow      shadow
}

// ErrGone is what Observe wraps when the Rollout does not exist any more.
var ErrGone = errors.New("the Rollout is gone")

// A Refusal is why an app is not rolled, as a condition says it.
type Refusal struct{ Reason, Message string }

func (r *Refusal) Error() string { return r.Message }

func (a *App) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

func (a *App) stirred() chan struct{} {
	a.stirMu.Do(func() { a.stir = make(chan struct{}, 1) })
	return a.stir
}

// Stir tells the app that something in its namespace changed. It never blocks.
func (a *App) Stir() {
	select {
	case a.stirred() <- struct{}{}:
	default:
	}
}

// Observe looks at the app. It waits until the cache shows what this App has written itself, so that no look is older than our own deeds.
func (a *App) Observe(ctx context.Context) (controller.Seen, error) {
	begun := a.now()
	for {
		l, err := a.look(ctx)
		if err != nil {
			return controller.Seen{}, err
		}
		if l.behind == "" {
			return a.see(ctx, l, begun)
		}
		if err := a.await(ctx, begun); err != nil {
			a.wrote.forget()
			return controller.Seen{}, fmt.Errorf("the cache does not show %s yet: %w", l.behind, err)
		}
		begun = a.now()
	}
}

// patience is how long a look waits for the cache.
const patience = 5 * time.Second

func (a *App) await(ctx context.Context, since time.Time) error {
	timer := time.NewTimer(max(0, patience-a.now().Sub(since)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-a.stirred():
		return nil
	case <-timer.C:
		return errors.New("waited long enough")
	}
}

// warn writes an event once for each text.
func (a *App) warn(l *look, reason, action, text string) {
	if a.Events == nil || a.warned == text {
		return
	}
	a.warned = text
	a.Events.Eventf(l.rollout, l.deploy, corev1.EventTypeWarning, reason, action, "%s", text)
}

// see makes of a look what the engine is given.
func (a *App) see(ctx context.Context, l *look, begun time.Time) (controller.Seen, error) {
	if err := a.adopt(ctx, l); err != nil {
		return controller.Seen{}, err
	}
	if err := a.protect(ctx, l); apierrors.IsConflict(err) || ctx.Err() != nil {
		return controller.Seen{}, fmt.Errorf("the PodDisruptionBudget: %w", err)
	} else if err != nil {
		// A rollout that stands still for it would be worse than a node drain that takes more than one pod.
		a.warn(l, "Unprotected", "PodDisruptionBudget", "while two versions stand a node drain may evict more than one pod: "+err.Error())
	}
	a.hear(ctx, l, begun)
	l.heard, l.trouble = a.heard, a.trouble
	a.seen, a.state = l, l.state
	plan := planOf(l)
	if err := plan.Validate(); err != nil {
		return controller.Seen{}, err
	}
	snapshot := a.snapshot(l, begun)
	snapshot.Gates = a.askGates(ctx, l, plan)
	if snapshot.Grade != rollout.NotYet && a.Gates.Sees(snapshot.Route, l.state.ToldAt) {
		snapshot.Grade = rollout.Seen
	}
	a.shown = snapshot
	return controller.Seen{Plan: plan, State: l.state, Snapshot: snapshot}, nil
}

func (a *App) snapshot(l *look, at time.Time) rollout.Snapshot {
	reading := l.router.Read()
	return rollout.Snapshot{
		Now: at, Wanted: l.wanted, Replicas: l.replicas, Versions: l.versions(at),
		Route: reading.Route, Grade: reading.Grade, Waits: reading.Waits, Taken: a.inHand(l), Orders: l.orders(at), Forgotten: l.forgotten(),
	}
}

// Apply carries one action out, or one step of it: what remains is done at a later look, which asks for the same again. A step that has
// begun is finished also when ctx ends meanwhile.
func (a *App) Apply(ctx context.Context, action rollout.Action) error {
	ctx, done := finishing(ctx)
	defer done()
	err := a.apply(ctx, action)
	a.trouble = ""
	if err != nil && !apierrors.IsConflict(err) {
		a.trouble = err.Error()
		a.warn(a.seen, "NotDone", string(action.Kind), a.trouble)
	}
	return err
}

// finishing is a context that outlives its parent by as long as one step may take.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), oneStep)
}

const oneStep = 10 * time.Second

func (a *App) apply(ctx context.Context, action rollout.Action) error {
	switch action.Kind {
	case rollout.Scale:
		return a.scale(ctx, action.Version, action.Replicas)
	case rollout.SetRoute:
		return a.seen.router.Set(ctx, *action.Route)
	case rollout.WriteBack:
		return a.writeBack(ctx, action.Version, action.Over)
	case rollout.Remove:
		return a.remove(ctx, action.Version)
	case rollout.Release:
		return a.release(ctx, action.Version)
	}
	return fmt.Errorf("action %q is not known", action.Kind)
}
