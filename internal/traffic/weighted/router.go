// Package weighted divides traffic by weight between two sets of Services, in a route object of the user.
//
// The user's own Services are pinned to one version, and each that the route names has a twin of ours which leads to the other. The route
// names the twin only while that has something to get. No Service is led to another version while the route sends it anything: when
// the candidate has all, through the twins, the user's own Services are led to it, and then the route is again as the user wrote it.
package weighted

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/service"
)

var _ traffic.Router = (*Router)(nil)

// A Router of one app in one look.
type Router struct {
	// Client writes.
	Client client.Client
	App    traffic.App
	Kind   traffic.Kind
	// Field is how the Rollout names the route object, such as "spec.traffic.traefik.ingressRoute".
	Field string
	// Mark is the annotation of a route object that is divided.
	Mark string
	// User are the user's own Services, and Twins those of ours that stand beside them.
	User, Twins *service.Router
	// Object is the user's route object as it stands; nil where there is none, and then Missing says so.
	Object  *unstructured.Unstructured
	Missing *traffic.Problem
	// Companions are objects of ours that stand beside it.
	Companions []*unstructured.Unstructured
	// Rest is the version that the user's Services lead to while they are not pinned; empty where nothing stands yet.
	Rest rollout.Version
	// Settle is how long an endpoint stands before a route names its Service for the first time: a data plane that knows the route and not
	// yet the endpoint would answer errors. Stands tells since when a pod does; nil: for ever.
	Settle time.Duration
	Stands func(pod string) time.Duration
	// Own makes an object ours: it gets the marks by which it is found again.
	Own func(client.Object)
	// Wrote and Deleted are told of each object.
	Wrote, Deleted func(client.Object)

	at    *standing
	ack   rollout.Grade
	waits string
	again time.Duration
}

// Ask has the data plane acknowledge what is written, if it can and anything is. It is called once, before Read.
func (r *Router) Ask(ctx context.Context) {
	r.ack = rollout.Told
	at := r.standing()
	asks, can := r.Kind.(traffic.Acknowledger)
	if can && at.marked && at.whole() {
		r.ack, r.waits, r.again = asks.Acknowledge(ctx, r.Object, at.app, at.split)
	}
	if left := r.unsettled(); left > 0 && at.split.Whole() && (r.again == 0 || left < r.again) {
		r.again = left
	}
}

// Count is what the data plane has counted of the user's Services and of their twins, if it tells.
func (r *Router) Count(ctx context.Context) (theirs, twins traffic.Counts, err error) {
	counter, can := r.Kind.(traffic.Counter)
	if !can || r.Object == nil {
		return theirs, twins, traffic.ErrNotCounted
	}
	return counter.Count(ctx, r.standing().found, r.App)
}

// Again is when to look once more, as no event will tell; 0 where one will.
func (r *Router) Again() time.Duration { return r.again }

// Check tells what is wrong with the route object, and what it cannot do.
func (r *Router) Check(plan rollout.Plan) error {
	if r.Object == nil {
		return r.Missing
	}
	if by := r.standing().by; by != "" && by != r.App.Name {
		return &traffic.Problem{Reason: traffic.ReasonRouteTaken, Text: fmt.Sprintf(
			"%s: %s %s is divided by Rollout %s; give each app a route object of its own", r.Field, r.Object.GetKind(), r.Object.GetName(), by)}
	}
	return traffic.CheckRoute(r.Kind, r.standing().found, r.App, r.Field, plan)
}

// Read puts together what the route sends to which Services, and which versions these lead to.
func (r *Router) Read() traffic.Reading {
	at := r.standing()
	theirs, twins := r.leads(), r.twinsLead()
	seen := traffic.Reading{Route: rollout.Route{Weights: rollout.Weights{}}, Grade: r.ack}
	if theirs != "" {
		seen.Route.Weights[theirs] += 100 - at.split.Twins
	}
	if at.split.Twins > 0 {
		seen.Route.Weights[twins] += at.split.Twins
	}
	if at.split.Match != nil || at.split.Mirror > 0 {
		seen.Route.To, seen.Route.Match, seen.Route.Mirror, seen.Route.MirrorWrites = twins, at.split.Match, at.split.Mirror, at.split.MirrorWrites
	}
	if waits := r.behind(at); waits != "" {
		seen.Grade, seen.Waits = rollout.NotYet, waits
	} else if r.ack == rollout.NotYet {
		seen.Waits = r.waits
	}
	if r.Object == nil {
		seen.Waits = r.Missing.Text
	}
	if seen.Waits == "" && at.split.Whole() && r.twinsServe() && r.unsettled() > 0 {
		seen.Waits = fmt.Sprintf("its Service is named when it has had endpoints for %s, as data planes have to hear of them", r.Settle)
	}
	return seen
}

// behind says what is not as it was told yet.
func (r *Router) behind(at *standing) string {
	pin, arrived := r.User.Pin()
	switch {
	case r.Object == nil:
		return ""
	case !at.intact:
		return fmt.Sprintf("%s %s was changed by somebody and is written anew", r.Object.GetKind(), r.Object.GetName())
	case !at.whole():
		return "what stands beside the route is on its way"
	case pin != "" && !arrived:
		return "the EndpointSlices do not follow the Services' selectors yet"
	case r.shared():
		return "the Services are not pinned to one version yet"
	case at.split.Twins == 100:
		return "the Services that the user named are led to the new version, and then get its traffic"
	}
	return ""
}

// leads is the version that the user's Services lead to.
func (r *Router) leads() rollout.Version {
	if pin, _ := r.User.Pin(); pin != "" {
		return pin
	}
	return r.Rest
}

// shared tells that the user's Services are not pinned and more than one version answers there.
func (r *Router) shared() bool {
	pin, _ := r.User.Pin()
	return pin == "" && len(r.User.Shares()) > 1
}

// twinsLead is the version that all twins lead to; empty where there are none.
func (r *Router) twinsLead() rollout.Version {
	pin, _ := r.Twins.Pin()
	return pin
}

// named are the Services of the user that the route names.
func (r *Router) named() []*corev1.Service {
	if r.Object == nil {
		return nil
	}
	var all []*corev1.Service
	seen := map[string]bool{}
	r.Kind.Backends(r.standing().found.DeepCopy(), func(_ string, list []any) []any {
		for _, raw := range list {
			entry, _ := raw.(map[string]any)
			if s := r.App.Service(r.Kind.Backend(entry).Service); s != nil && !seen[s.Name] {
				seen[s.Name] = true
				all = append(all, s)
			}
		}
		return list
	})
	return all
}

// twin of a Service, or nil.
func (r *Router) twin(of *corev1.Service) *corev1.Service {
	for _, s := range r.Twins.Services {
		if s.Name == traffic.TwinOf(of.Name) {
			return s
		}
	}
	return nil
}

// serving tells whether each of some Services has a ready endpoint in slices that follow its selector.
func serving(in *service.Router, all []*corev1.Service) bool {
	for _, s := range all {
		if s == nil || len(service.Ready(in.Slices[s.Name])) == 0 {
			return false
		}
	}
	return len(all) > 0
}

// unsettled is for how long the eldest endpoint of some twin has to stand yet.
func (r *Router) unsettled() time.Duration {
	if r.Stands == nil {
		return 0
	}
	longest := time.Duration(0)
	for _, s := range r.Twins.Services {
		eldest := time.Duration(-1)
		for pod := range service.Ready(r.Twins.Slices[s.Name]) {
			eldest = max(eldest, r.Stands(pod))
		}
		if eldest >= 0 {
			longest = max(longest, r.Settle-eldest)
		}
	}
	return longest
}

// twinsServe tells whether every twin that is needed leads to one version, and has endpoints of it.
func (r *Router) twinsServe() bool {
	var needed []*corev1.Service
	for _, s := range r.named() {
		needed = append(needed, r.twin(s))
	}
	_, arrived := r.Twins.Pin()
	return arrived && serving(r.Twins, needed)
}
