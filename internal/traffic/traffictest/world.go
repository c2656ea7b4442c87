// Package traffictest is the contract that every router keeps, as a test that is run against each.
//
// Its world is a small API server with the user's objects in it. What Kubernetes and the data plane would write, it writes itself.
package traffictest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/service"
	"gapless.dev/gapless/internal/traffic/weighted"
)

// Names in the world. The user's Service is demo-api; the versions are v1, which serves, and v2.
const (
	Namespace = "shop"
	Service   = "demo-api"
	stable    = rollout.Version("v1")
	candidate = rollout.Version("v2")

	pinned, release, mark, ours = "gapless.dev/pinned", "gapless.dev/release", "gapless.dev/route", "gapless.dev/rollout"
)

// A Case is one router under the contract.
type Case struct {
	// Objects of the user in YAML, the route object first. The Service demo-api with the ports 80 and 9000 (named grpc) is there already.
	Objects string
	// Kind is what divides the route object; it may look at what stands. Nil: the router of plain Services.
	Kind func(*World) traffic.Kind
	// Switches tells that it knows no shares: all or nothing.
	Switches bool
	// Match, Users and Mirror tell what it can beside weights.
	Match, Users, Mirror bool
	// Plane is what the data plane writes when something has changed.
	Plane func(*World)
	// Share tells what the twins really get in percent. Default: what the route object says.
	Share func(*World) int
	// Edit is a change that its user makes to the route object, beside the backends. Default: an annotation.
	Edit func(route *unstructured.Unstructured)
}

// A World is a namespace with the user's objects and two versions of an app.
type World struct {
	*testing.T
	Client client.Client
	c      Case
	pods   map[rollout.Version]int // that are ready
	stand  time.Duration           // for how long they have been
	writes []string
	route  client.ObjectKey
	kind   schema.GroupVersionKind
	theirs map[string]map[string]any // the user's objects as they wrote them, by kind and name
}

var scheme = sync.OnceValue(func() *runtime.Scheme {
	s := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(s), discoveryv1.AddToScheme(s), networkingv1.AddToScheme(s)); err != nil {
		panic(err)
	}
	return s
})

func newWorld(t *testing.T, c Case) *World {
	t.Helper()
	w := &World{T: t, c: c, pods: map[rollout.Version]int{stable: 3, candidate: 2}, stand: time.Hour, theirs: map[string]map[string]any{}}
	note := func(verb string, o client.Object) {
		if _, slice := o.(*discoveryv1.EndpointSlice); !slice {
			w.writes = append(w.writes, fmt.Sprintf("%s %T %s", verb, o, o.GetName()))
		}
	}
	w.Client = fake.NewClientBuilder().WithScheme(scheme()).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			note("patch", o)
			return c.Patch(ctx, o, p, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			note("create", o)
			return c.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			note("update", o)
			return c.Update(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			note("delete", o)
			return c.Delete(ctx, o, opts...)
		},
	}).Build()
	w.must(w.Client.Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: Service, Namespace: Namespace, Labels: map[string]string{"team": "shop"}},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": Service},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "grpc", Port: 9000}},
		},
	}))
	for i, text := range strings.Split(c.Objects, "\n---\n") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		o := w.parse(text)
		if i == 0 {
			w.route, w.kind = client.ObjectKeyFromObject(o), o.GroupVersionKind()
		}
		w.must(w.Client.Create(t.Context(), o))
		w.theirs[o.GetKind()+" "+o.GetName()] = theirs(o)
	}
	w.writes = nil
	return w
}

func (w *World) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *World) parse(text string) *unstructured.Unstructured {
	w.Helper()
	o := &unstructured.Unstructured{}
	w.must(yaml.Unmarshal([]byte(text), &o.Object))
	o.SetNamespace(Namespace)
	return whole(w, o)
}

// whole has the numbers of an object as the API server gives them.
func whole(w *World, o *unstructured.Unstructured) *unstructured.Unstructured {
	text, err := o.MarshalJSON()
	w.must(err)
	again := &unstructured.Unstructured{}
	w.must(again.UnmarshalJSON(text))
	return again
}

// theirs is what of an object is its user's.
func theirs(o *unstructured.Unstructured) map[string]any {
	annotations := maps.Clone(o.GetAnnotations())
	if len(annotations) == 0 {
		annotations = nil
	}
	return map[string]any{"spec": runtime.DeepCopyJSONValue(o.Object["spec"]), "labels": o.GetLabels(), "annotations": annotations}
}

// Route is the route object as it stands.
func (w *World) Route() *unstructured.Unstructured {
	w.Helper()
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(w.kind)
	w.must(w.Client.Get(w.Context(), w.route, o))
	return o
}

// List is all of a kind that stands.
func (w *World) List(kind schema.GroupVersionKind) []*unstructured.Unstructured {
	w.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	w.must(w.Client.List(w.Context(), list, client.InNamespace(Namespace)))
	var all []*unstructured.Unstructured
	for i := range list.Items {
		all = append(all, &list.Items[i])
	}
	return all
}

// settle does what Kubernetes and the data plane do: slices follow selectors, and the plane says what it has.
func (w *World) settle() {
	w.Helper()
	var services corev1.ServiceList
	w.must(w.Client.List(w.Context(), &services))
	want := map[string]bool{}
	for i := range services.Items {
		s := &services.Items[i]
		want[s.Name] = true
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: Namespace, Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}}}
		if v, has := s.Labels[pinned]; has {
			slice.Labels[pinned] = v
		}
		for _, v := range []rollout.Version{stable, candidate} {
			if pin := s.Spec.Selector[service.HashKey]; pin != "" && pin != string(v) {
				continue
			}
			for n := range w.pods[v] {
				slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
					Addresses: []string{address(v, n)}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: fmt.Sprintf("%s-%d", v, n)},
				})
			}
		}
		_ = w.Client.Delete(w.Context(), slice.DeepCopy())
		w.must(w.Client.Create(w.Context(), slice))
	}
	var slices discoveryv1.EndpointSliceList
	w.must(w.Client.List(w.Context(), &slices))
	for i := range slices.Items {
		if e := &slices.Items[i]; !want[e.Name] {
			w.must(w.Client.Delete(w.Context(), e))
		}
	}
	if w.c.Plane != nil {
		w.c.Plane(w)
	}
}

func address(v rollout.Version, n int) string {
	return fmt.Sprintf("10.0.%s.%d", strings.TrimPrefix(string(v), "v"), n+1)
}

// look opens the router on what stands now.
func (w *World) look() traffic.Router {
	w.Helper()
	var services corev1.ServiceList
	w.must(w.Client.List(w.Context(), &services))
	var all discoveryv1.EndpointSliceList
	w.must(w.Client.List(w.Context(), &all))
	make := func() *service.Router {
		return &service.Router{
			Client: w.Client, Pinned: pinned, Release: release, Slices: map[string][]*discoveryv1.EndpointSlice{},
			Version: func(pod string) rollout.Version { v, _, _ := strings.Cut(pod, "-"); return rollout.Version(v) },
			Wrote:   func(client.Object) {},
		}
	}
	user, twins := make(), make()
	addresses := map[*service.Router]map[string]bool{user: {}, twins: {}}
	for i := range services.Items {
		s := &services.Items[i]
		r := user
		if s.Labels[ours] != "" {
			r = twins
		}
		r.Services = append(r.Services, s)
		for j := range all.Items {
			if e := &all.Items[j]; e.Labels[discoveryv1.LabelServiceName] == s.Name {
				r.Slices[s.Name] = append(r.Slices[s.Name], e)
				for _, endpoint := range e.Endpoints {
					addresses[r][endpoint.Addresses[0]] = true
				}
			}
		}
	}
	if w.c.Kind == nil {
		return user
	}
	r := &weighted.Router{
		Client: w.Client, Kind: w.c.Kind(w), Field: "spec.traffic", Mark: mark, User: user, Twins: twins, Object: w.Route(), Rest: stable,
		App:    traffic.App{Namespace: Namespace, Name: "demo-api", Services: user.Services, Theirs: addresses[user], Twins: addresses[twins], Revision: 2},
		Settle: settle, Stands: func(string) time.Duration { return w.stand },
		Own: func(o client.Object) {
			labels := maps.Clone(o.GetLabels())
			if labels == nil {
				labels = map[string]string{}
			}
			labels[ours], labels["app.kubernetes.io/managed-by"] = "demo-api", "gapless"
			o.SetLabels(labels)
		},
		Wrote: func(client.Object) {}, Deleted: func(client.Object) {},
	}
	if c, has := r.Kind.(traffic.Companion); has {
		for _, kind := range c.Companions() {
			for _, o := range w.List(kind) {
				if o.GetLabels()[ours] != "" {
					r.Companions = append(r.Companions, o)
				}
			}
		}
	}
	r.Ask(w.Context())
	return r
}

// settle is how long an endpoint stands before a route names it.
const settle = 5 * time.Second

// write has the user write the route object.
func (w *World) write(change func(*unstructured.Unstructured)) {
	w.Helper()
	o := w.Route()
	change(o)
	w.must(w.Client.Update(w.Context(), o))
	w.writes = nil
}

// drive sets a route, look after look, until it is read back and has arrived.
func (w *World) drive(route rollout.Route) {
	w.Helper()
	var seen traffic.Reading
	for range 30 {
		w.settle()
		r := w.look()
		if seen = r.Read(); seen.Grade != rollout.NotYet && seen.Route.Equal(route) {
			return
		}
		before := w.pins()
		share := w.share()
		w.writes = nil
		w.must(r.Set(w.Context(), route))
		w.neverLive(before, share)
	}
	w.Fatalf("%s: after 30 looks it reads %s, %q, waits for %q\n%v", route, seen.Route, seen.Grade, seen.Waits, w.Route().Object["spec"])
}

// pins are the versions that Services are pinned to.
func (w *World) pins() map[string]string {
	var services corev1.ServiceList
	w.must(w.Client.List(w.Context(), &services))
	all := map[string]string{}
	for _, s := range services.Items {
		all[s.Name] = s.Spec.Selector[service.HashKey]
	}
	return all
}

// share is what the route object gives the twins, or -1 where there is none.
func (w *World) share() int {
	switch {
	case w.c.Kind == nil:
		return -1
	case w.c.Share != nil:
		return w.c.Share(w)
	}
	n, _ := traffic.ShareOf(w.c.Kind(w), w.Route(), traffic.App{Namespace: Namespace, Services: []*corev1.Service{{ObjectMeta: metav1.ObjectMeta{Name: Service}}}})
	return n
}

// neverLive fails where a Service was led elsewhere while the route gave it something, or in one breath with the route.
func (w *World) neverLive(before map[string]string, share int) {
	w.Helper()
	if share < 0 {
		return
	}
	moved := false
	for name, pin := range w.pins() {
		was, stood := before[name]
		if !stood || was == pin || was == "" {
			continue
		}
		moved = true
		if twin := name != Service; twin && share > 0 || !twin && share < 100 {
			w.Errorf("Service %s was led from %s to %s while the route gave the twins %d %%", name, was, pin, share)
		}
	}
	if moved && slices.ContainsFunc(w.writes, func(write string) bool { return !strings.Contains(write, "v1.Service") }) {
		w.Errorf("in one breath: %v", w.writes)
	}
}
