package weighted

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/service"
)

// Set takes one step towards a route: a Service is led to a version, or the route is divided, never both.
func (r *Router) Set(ctx context.Context, goal rollout.Route) error {
	if r.Object == nil {
		if goal.Weights[r.leads()] == 100 && goal.Match == nil && goal.Mirror == 0 {
			return nil // nothing leads elsewhere
		}
		return r.Missing
	}
	if by := r.standing().by; by != "" && by != r.App.Name {
		return r.Check(rollout.Plan{})
	}
	if r.shared() {
		return r.User.PinTo(ctx, r.Rest)
	}
	versions := reached(goal)
	switch len(versions) {
	case 1:
		return r.all(ctx, versions[0])
	case 2:
		return r.both(ctx, goal, versions)
	}
	return fmt.Errorf("a route has one version or two, not: %s", goal)
}

// reached are the versions that may be sent anything under a route.
func reached(route rollout.Route) []rollout.Version {
	var all []rollout.Version
	for v := range route.Weights {
		if route.Reaches(v) {
			all = append(all, v)
		}
	}
	if to := route.To; to != "" && route.Weights[to] == 0 && route.Reaches(to) {
		if _, has := route.Weights[to]; !has {
			all = append(all, to)
		}
	}
	slices.Sort(all)
	return all
}

// all gives a version everything. In the end that is by the user's own Services, and the route is as the user wrote it.
func (r *Router) all(ctx context.Context, v rollout.Version) error {
	at := r.standing()
	_, arrived := r.User.Pin()
	switch {
	case r.leads() == v && !arrived && !at.split.Whole():
		return nil // the Services are on their way to it, and get its traffic when they lead there
	case r.leads() == v:
		return r.divide(ctx, traffic.Split{})
	case r.twinsLead() != v:
		return r.leadIdle(ctx, v)
	case !r.twinsServe():
		return nil // its endpoints are on their way to the slices
	case at.split.Twins == 100 && at.whole() && r.ack != rollout.NotYet:
		return r.User.PinTo(ctx, v)
	}
	return r.divide(ctx, traffic.Split{Twins: 100})
}

// both divides between two versions, one of which the user's Services lead to.
func (r *Router) both(ctx context.Context, goal rollout.Route, versions []rollout.Version) error {
	theirs, twins := r.leads(), r.twinsLead()
	other := versions[0]
	if other == theirs {
		other = versions[1]
	}
	switch {
	case theirs != versions[0] && theirs != versions[1]:
		return r.all(ctx, versions[0]) // from there the next step is another
	case twins != other:
		return r.leadIdle(ctx, other)
	}
	split := traffic.Split{Twins: goal.Weights[other]}
	if goal.To == other {
		split.Match, split.Mirror, split.MirrorWrites = goal.Match, goal.Mirror, goal.MirrorWrites
	}
	return r.divide(ctx, split)
}

// leadIdle leads those Services to a version that the route sends nothing to.
func (r *Router) leadIdle(ctx context.Context, v rollout.Version) error {
	at := r.standing()
	settled := at.whole() && r.ack != rollout.NotYet
	switch {
	case at.split.Whole() && settled:
		return r.leadTwins(ctx, v)
	case at.split.Twins == 100 && settled:
		return r.User.PinTo(ctx, v)
	case at.split.Twins == 100:
		return r.divide(ctx, traffic.Split{Twins: 100})
	}
	return r.divide(ctx, traffic.Split{})
}

// leadTwins leads the twins to a version, and makes those that are missing.
func (r *Router) leadTwins(ctx context.Context, v rollout.Version) error {
	for _, s := range r.named() {
		if r.twin(s) != nil {
			continue
		}
		twin := twinOf(s, v, r.Twins.Pinned)
		twin.Namespace = r.App.Namespace
		r.Own(twin)
		err := r.Client.Create(ctx, twin)
		if apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("service %s is not ours, and Gapless needs the name: rename or delete it: %w", twin.Name, err)
		}
		if err != nil {
			return err
		}
		r.Wrote(twin)
	}
	return r.Twins.PinTo(ctx, v)
}

// twinOf has all of a Service that a data plane goes by, and leads to one version.
func twinOf(s *corev1.Service, v rollout.Version, pinned string) *corev1.Service {
	selector := maps.Clone(s.Spec.Selector)
	selector[service.HashKey] = string(v)
	t := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: traffic.TwinOf(s.Name), Labels: map[string]string{pinned: string(v)}},
		Spec: corev1.ServiceSpec{
			Selector: selector, SessionAffinity: s.Spec.SessionAffinity, SessionAffinityConfig: s.Spec.SessionAffinityConfig,
			InternalTrafficPolicy: s.Spec.InternalTrafficPolicy, TrafficDistribution: s.Spec.TrafficDistribution,
		},
	}
	if s.Spec.ClusterIP == corev1.ClusterIPNone {
		t.Spec.ClusterIP = corev1.ClusterIPNone
	}
	for k, v := range s.Annotations {
		for _, prefix := range readOfServices {
			if strings.HasPrefix(k, prefix) {
				metav1.SetMetaDataAnnotation(&t.ObjectMeta, k, v)
			}
		}
	}
	for _, p := range s.Spec.Ports {
		t.Spec.Ports = append(t.Spec.Ports, corev1.ServicePort{
			Name: p.Name, Protocol: p.Protocol, AppProtocol: p.AppProtocol, Port: p.Port, TargetPort: p.TargetPort,
		})
	}
	return t
}

// readOfServices are annotations by which data planes know how to talk to a Service's pods.
var readOfServices = []string{"traefik.ingress.kubernetes.io/service.", "networking.istio.io/"}

// divide writes a split into the route, as far as there is anything to send to.
func (r *Router) divide(ctx context.Context, s traffic.Split) error {
	at := r.standing()
	if !s.Whole() && (!r.twinsServe() || at.split.Whole() && r.unsettled() > 0) {
		s = traffic.Split{} // an empty backend could take down the whole route
	}
	if _, arrived := r.User.Pin(); s.Twins > 0 && s.Twins < 100 && arrived && !serving(r.User, r.named()) {
		s.Twins = 100 // a wrong share is better than lost requests
	}
	app := r.App
	if at.marked && s.Equal(at.split) {
		app.Revision = at.app.Revision
	}
	want, beside, err := traffic.Divide(r.Kind, at.found, app, s)
	if err != nil {
		return err
	}
	missing, stale := compare(beside, r.Companions)
	same := r.same(want, r.Object) && (s.Whole() && !at.marked || at.marked && at.intact && s.Equal(at.split))
	for _, o := range missing {
		if err := r.putBeside(ctx, o); err != nil {
			return err
		}
	}
	switch {
	case len(missing) > 0 && !same && s.Twins >= at.split.Twins:
		return nil // it stands on what was just written
	case !same:
		return r.write(ctx, want, &record{Rollout: r.App.Name, Revision: app.Revision, Split: s, Found: r.fields(at.found)})
	}
	for _, o := range stale {
		if err := r.delete(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (r *Router) fields(o *unstructured.Unstructured) map[string]any {
	all := map[string]any{}
	for _, path := range r.Kind.Fields() {
		if v := get(o.Object, path); v != nil {
			all[strings.Join(path, "/")] = v
		}
	}
	return all
}

// write patches our fields of the user's object, as it was seen, and the mark; nil takes that off.
func (r *Router) write(ctx context.Context, want *unstructured.Unstructured, rec *record) error {
	next := r.Object.DeepCopy()
	for _, path := range r.Kind.Fields() {
		put(next.Object, get(want.Object, path), path)
	}
	annotations := maps.Clone(next.GetAnnotations())
	delete(annotations, r.Mark)
	if rec != nil {
		text, err := json.Marshal(rec)
		if err != nil {
			return err
		}
		if len(text) > maxMark {
			return &traffic.Problem{Reason: traffic.ReasonRouteCannot, Text: fmt.Sprintf(
				"%s: %s %s is too large to be kept in an annotation (%d bytes of %d); give the app a smaller route object", r.Field, r.Object.GetKind(), r.Object.GetName(), len(text), maxMark)}
		}
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[r.Mark] = string(text)
	}
	if len(annotations) == 0 {
		annotations = nil // as it was before the mark
	}
	next.SetAnnotations(annotations)
	asSeen := client.MergeFromWithOptions(r.Object.DeepCopy(), client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, next, asSeen, client.FieldOwner(manager)); err != nil {
		return fmt.Errorf("%s %s: %w", r.Object.GetKind(), r.Object.GetName(), err)
	}
	r.Wrote(next)
	if rec == nil {
		return r.disown(ctx, next)
	}
	return nil
}

// manager is the name under which fields of the user's route object are ours.
const manager = "gapless-route"

// disown leaves the fields to whoever applies them next: who uses server-side apply would else be told of a conflict with us.
func (r *Router) disown(ctx context.Context, o *unstructured.Unstructured) error {
	fields := o.GetManagedFields()
	left := slices.DeleteFunc(slices.Clone(fields), func(f metav1.ManagedFieldsEntry) bool { return f.Manager == manager })
	if len(left) == len(fields) || len(left) == 0 {
		return nil
	}
	next := o.DeepCopy()
	next.SetManagedFields(left)
	if err := r.Client.Patch(ctx, next, client.MergeFromWithOptions(o, client.MergeFromWithOptimisticLock{}), client.FieldOwner(manager)); err != nil {
		return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
	}
	r.Wrote(next)
	return nil
}

// maxMark bounds the mark in bytes; all annotations of an object have 256 KiB.
const maxMark = 200 << 10

// putBeside makes a companion, or makes it as it is to be.
func (r *Router) putBeside(ctx context.Context, want *unstructured.Unstructured) error {
	for _, is := range r.Companions {
		if is.GetKind() != want.GetKind() || is.GetName() != want.GetName() {
			continue
		}
		next := is.DeepCopy()
		next.Object["spec"] = want.Object["spec"]
		annotations := map[string]string{}
		maps.Copy(annotations, is.GetAnnotations())
		maps.Copy(annotations, want.GetAnnotations())
		next.SetAnnotations(annotations)
		if err := r.Client.Update(ctx, next); err != nil {
			return err
		}
		r.Wrote(next)
		return nil
	}
	o := want.DeepCopy()
	r.Own(o)
	err := r.Client.Create(ctx, o)
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("%s %s is not ours, and Gapless needs the name: rename or delete it: %w", o.GetKind(), o.GetName(), err)
	}
	if err == nil {
		r.Wrote(o)
	}
	return err
}

func (r *Router) delete(ctx context.Context, o client.Object) error {
	uid := o.GetUID()
	if err := client.IgnoreNotFound(r.Client.Delete(ctx, o, client.Preconditions{UID: &uid})); err != nil {
		return err
	}
	r.Deleted(o)
	return nil
}
