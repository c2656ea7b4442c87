package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/controller"
	"gapless.dev/gapless/internal/metrics"
	"gapless.dev/gapless/internal/rollout"
)

// A Fleet drives all Rollouts that it is told of, each in a loop of its own. It runs in the controller that leads.
type Fleet struct {
	Client client.Client
	// Live reads from the API server itself.
	Live   client.Reader
	Cache  cache.Cache
	Events events.EventRecorder
	Log    *slog.Logger
	// Witness asks pods why they do not come up.
	Witness *Witness
	// Keys is the folder that gates find keys and tokens in.
	Keys string
	// Metrics are shown of what is decided.
	Metrics *metrics.Set

	mu    sync.Mutex
	loops map[types.NamespacedName]*running
	wg    sync.WaitGroup
	ctx   context.Context

	watchMu  sync.Mutex
	watching map[watchKey]bool
}

// running is the loop of one Rollout.
type running struct {
	app  *App
	wake chan struct{}
	stop context.CancelFunc
}

func (r *running) nudge() {
	r.app.Stir()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// NeedLeaderElection: two controllers must not drive one Deployment.
func (f *Fleet) NeedLeaderElection() bool { return true }

// Start drives until ctx ends, and returns when every loop has.
func (f *Fleet) Start(ctx context.Context) error {
	f.ctx, f.loops = ctx, map[types.NamespacedName]*running{}
	for _, o := range Watched() {
		informer, err := f.Cache.GetInformer(ctx, o)
		if err != nil {
			return fmt.Errorf("watch %T: %w", o, err)
		}
		if _, err := informer.AddEventHandler(f.handler()); err != nil {
			return err
		}
	}
	var all v1alpha1.RolloutList
	if err := f.Client.List(ctx, &all); err != nil {
		return err
	}
	f.sweep(ctx, all)
	f.Log.Info("leading", "rollouts", len(all.Items))
	f.Metrics.Leads(true)
	<-ctx.Done()
	f.Metrics.Leads(false)
	f.wg.Wait()
	return nil
}

// watch has the loops of its namespace woken when an object of a kind changes. Kinds that a look reads only for some Rollouts are
// watched from the first of those on.
func (f *Fleet) watch(ctx context.Context, kind schema.GroupVersionKind) error {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kind)
	return f.wakeOn(ctx, o, watchKey{kind, false})
}

// A watchKey is a kind that is watched, as a whole or by its metadata only.
type watchKey struct {
	kind     schema.GroupVersionKind
	metadata bool
}

// wakeOn has the loops woken when an object like this one changes. Saying it again changes nothing.
func (f *Fleet) wakeOn(ctx context.Context, o client.Object, key watchKey) error {
	f.watchMu.Lock()
	defer f.watchMu.Unlock()
	if f.watching[key] {
		return nil
	}
	informer, err := f.Cache.GetInformer(ctx, o)
	if err != nil {
		return err
	}
	if _, err := informer.AddEventHandler(f.handler()); err != nil {
		return err
	}
	if f.watching == nil {
		f.watching = map[watchKey]bool{}
	}
	f.watching[key] = true
	return nil
}

// Get reads the metadata of an object, and has the loops of its namespace woken when it changes.
func (f *Fleet) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if err := f.wakeOn(ctx, o, watchKey{o.GetObjectKind().GroupVersionKind(), true}); err != nil {
		return err
	}
	return f.Cache.Get(ctx, key, o, opts...)
}

// List is not needed of metadata.
func (f *Fleet) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("metadata is read by name")
}

// Watched is one object of each kind that a look reads.
func Watched() []client.Object {
	deployment, replicaSet := &unstructured.Unstructured{}, &unstructured.Unstructured{}
	deployment.SetGroupVersionKind(deploymentKind)
	replicaSet.SetGroupVersionKind(replicaSetKind)
	return []client.Object{&v1alpha1.Rollout{}, deployment, replicaSet, &corev1.Pod{}, &corev1.Service{}, &discoveryv1.EndpointSlice{}, &policyv1.PodDisruptionBudget{}}
}

func (f *Fleet) handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    f.changed,
		UpdateFunc: func(was, now any) { f.changed(was); f.changed(now) },
		DeleteFunc: f.deleted,
	}
}

// changed wakes the loops that an object concerns.
func (f *Fleet) changed(o any) {
	object, ok := o.(client.Object)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, is := object.(*v1alpha1.Rollout); is {
		f.begin(client.ObjectKeyFromObject(r))
	}
	for key, r := range f.loops {
		if key.Namespace == object.GetNamespace() && r.app.concerns(object) {
			r.nudge()
		}
	}
}

func (f *Fleet) deleted(o any) {
	if last, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = last.Obj
	}
	if r, ok := o.(*v1alpha1.Rollout); ok {
		f.mu.Lock()
		defer f.mu.Unlock()
		key := client.ObjectKeyFromObject(r)
		if loop, runs := f.loops[key]; runs {
			loop.stop()
			delete(f.loops, key)
			f.Metrics.Drives(len(f.loops))
			f.Metrics.Forget(key.Namespace, key.Name)
		}
		for other, loop := range f.loops {
			if other.Namespace == key.Namespace {
				loop.nudge() // it may have been refused for this one
			}
		}
		f.wg.Go(func() { f.orphan(f.ctx, key.Namespace, r.Target()) })
		return
	}
	f.changed(o)
}

// begin starts the loop of a Rollout if it does not run. f.mu is held.
func (f *Fleet) begin(key types.NamespacedName) {
	if _, runs := f.loops[key]; runs || f.ctx.Err() != nil {
		return
	}
	ctx, stop := context.WithCancel(f.ctx)
	app := &App{Client: f.Client, Live: f.Live, Meta: f, Watch: f.watch, Key: key, Events: f.Events, Indexed: true, Witness: f.Witness, Keys: f.Keys}
	r := &running{app: app, wake: make(chan struct{}, 1), stop: stop}
	app.Gates.Wake = r.nudge
	app.notes.Keys = app.keyOf
	app.notes.Trouble = func(err error) {
		f.Metrics.Unsent(key.Namespace, key.Name)
		app.unsent(err)
	}
	f.loops[key] = r
	f.Metrics.Drives(len(f.loops))
	loop := f.loopOf(ctx, app, r.wake)
	f.wg.Go(func() {
		defer app.notes.Wait()
		defer app.Gates.Close()
		_ = loop.Run(ctx) // its error is that ctx ended
		last, done := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
		defer done()
		f.sayUnsaid(last, app)
		if err := app.Flush(last); err != nil {
			f.log(app).Warn(err.Error())
		}
	})
}

func (f *Fleet) log(app *App) *slog.Logger { return f.Log.With("rollout", app.Key.String()) }

// loopOf drives an app and says what it decides.
func (f *Fleet) loopOf(ctx context.Context, app *App, wake <-chan struct{}) *controller.Loop {
	return &controller.Loop{
		Platform: app, Wake: wake, Late: wordsLate,
		Say: func(seen controller.Seen, d rollout.Decision) { f.say(ctx, app, seen, d) },
		Decide: func(plan rollout.Plan, state rollout.State, seen rollout.Snapshot) rollout.Decision {
			f.sayUnsaid(ctx, app) // before anything that comes after it
			return app.decide(plan, state, seen)
		},
		Trouble: func(err error, again time.Duration) {
			switch {
			case errors.Is(err, ErrGone):
			case apierrors.IsConflict(err):
				f.log(app).Debug(err.Error(), "again", again) // somebody wrote meanwhile: the next look sees it
			default:
				f.Metrics.Erred(app.Key.Namespace, app.Key.Name)
				f.log(app).Warn(err.Error(), "again", again)
			}
		},
	}
}

// say tells everybody of a decision.
func (f *Fleet) say(ctx context.Context, app *App, seen controller.Seen, d rollout.Decision) {
	log := f.log(app)
	log.Info(inWords(d.Message, app.names(app.seen)), "phase", d.State.Phase, "reason", d.Reason, "revision", d.State.Revision)
	app.say(seen, d)
	app.tell(ctx, seen, d)
	f.Metrics.Decided(app.Key.Namespace, app.Key.Name, seen.Plan, seen.State, d, seen.Snapshot.Now, app.names(app.seen))
	if err := app.Record(ctx, seen, d); err != nil && ctx.Err() == nil {
		log.Warn(err.Error()) // evidence, and no state: the rollout goes on
	}
}

// sayUnsaid says once what an app has saved before its loop came to it.
func (f *Fleet) sayUnsaid(ctx context.Context, app *App) {
	if last := app.unsaid; last != nil {
		app.unsaid = nil
		f.say(ctx, app, last.seen, last.decision)
	}
}

// wordsLate is how long what is only said may stay unsaid in the status.
const wordsLate = 5 * time.Second

// lastWord bounds what a controller that is told to stop still writes down.
const lastWord = 5 * time.Second

// say writes an event where a person would want to know.
func (a *App) say(seen controller.Seen, d rollout.Decision) {
	if a.Events == nil {
		return
	}
	event := func(kind, reason, message string) {
		a.Events.Eventf(a.seen.rollout, a.seen.deploy, kind, reason, string(d.State.Phase), "%s", inWords(message, a.names(a.seen)))
	}
	for _, an := range d.Answers {
		reason, kind := "OrderObeyed", corev1.EventTypeNormal
		if !an.Obeyed {
			reason, kind = "OrderRefused", corev1.EventTypeWarning
		}
		event(kind, reason, fmt.Sprintf("%s by %s: %s", an.Order.Verb, an.Order.By, an.Message))
	}
	turned := seen.State.Phase != d.State.Phase && d.State.Phase != rollout.Promoting || seen.State.Step != d.State.Step
	switch back := d.State.Aborted; {
	case !turned:
	case d.State.Phase == rollout.Aborting && back != nil:
		event(corev1.EventTypeWarning, back.Reason, fmt.Sprintf("back from %s to %s: %s", back.Version, d.State.Stable, back.Message))
	case d.State.Phase == rollout.Held:
		event(corev1.EventTypeWarning, d.Reason, d.Message)
	default:
		event(corev1.EventTypeNormal, d.Reason, d.Message)
	}
}

// sweep lets go of Deployments whose Rollout went while nobody looked.
func (f *Fleet) sweep(ctx context.Context, all v1alpha1.RolloutList) {
	targets := map[types.NamespacedName]bool{}
	for i := range all.Items {
		r := &all.Items[i]
		targets[types.NamespacedName{Namespace: r.Namespace, Name: r.Target()}] = true
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(deploymentKind)
	if err := f.Client.List(ctx, list, client.HasLabels{v1alpha1.LabelManaged}); err != nil {
		f.Log.Warn("list Deployments that were adopted", "error", err)
		return
	}
	for i := range list.Items {
		if d := &list.Items[i]; !targets[client.ObjectKeyFromObject(d)] {
			f.orphan(ctx, d.GetNamespace(), d.GetName())
		}
	}
}

// orphan takes our label off a Deployment at rest that no Rollout rolls any more. One that is held is left to people: what we knew of it is gone.
func (f *Fleet) orphan(ctx context.Context, namespace, name string) {
	log := f.Log.With("deployment", namespace+"/"+name)
	d := &unstructured.Unstructured{}
	d.SetGroupVersionKind(deploymentKind)
	if err := f.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, d); err != nil {
		if client.IgnoreNotFound(err) != nil {
			log.Warn("let go", "error", err)
		}
		return
	}
	if _, has := d.GetLabels()[v1alpha1.LabelManaged]; !has {
		return
	}
	if held(d) {
		log.Warn("the Rollout is gone and the Deployment is held: gapless eject --force gives it back")
		return
	}
	app := &App{Client: f.Client}
	if _, err := app.patch(ctx, d, label(d, nil)); client.IgnoreNotFound(err) != nil {
		log.Warn("let go", "error", err)
		return
	}
	log.Info("let go: no Rollout rolls it any more")
}
