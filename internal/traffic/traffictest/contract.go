package traffictest

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/weighted"
)

func all(v rollout.Version) rollout.Route {
	return rollout.Route{Weights: rollout.Weights{v: 100}}
}

func share(n int) rollout.Route {
	return rollout.Route{Weights: rollout.Weights{stable: 100 - n, candidate: n}}
}

// routes are what a passage from v1 to v2 asks of a router, in order.
func (c Case) routes() []rollout.Route {
	to := func(r rollout.Route, m *rollout.Match, mirror int) rollout.Route {
		r.To, r.Match, r.Mirror = candidate, m, mirror
		return r
	}
	routes := []rollout.Route{all(stable)}
	if c.Mirror {
		routes = append(routes, to(all(stable), nil, 10), to(share(5), nil, 20))
	}
	if c.Match {
		routes = append(routes, to(all(stable), &rollout.Match{Header: map[string]string{"X-Beta": "yes"}}, 0), to(share(10), &rollout.Match{Header: map[string]string{"X-Beta": "yes"}}, 0))
	}
	if c.Users {
		routes = append(routes, to(all(stable), &rollout.Match{Users: 20}, 0), to(all(stable), &rollout.Match{Users: 50}, 0))
	}
	if !c.Switches && c.Kind != nil {
		routes = append(routes, share(1), share(25), share(33), share(99))
	}
	return append(routes, all(candidate))
}

// some of them: one of each sort.
func (c Case) some() []rollout.Route {
	var some []rollout.Route
	seen := map[string]bool{}
	for _, r := range c.routes() {
		sort := fmt.Sprint(r.Weights[candidate] == 0, r.Weights[candidate] == 100, r.Match != nil, r.Match != nil && r.Match.Users > 0, r.Mirror > 0)
		if !seen[sort] {
			seen[sort] = true
			some = append(some, r)
		}
	}
	return some
}

// Run tells whether a router keeps the contract.
func Run(t *testing.T, c Case) {
	t.Run("what is set is read back", func(t *testing.T) { setIsRead(t, c) })
	t.Run("what is set twice is written once", func(t *testing.T) { twiceIsOnce(t, c) })
	t.Run("the rest stays untouched", func(t *testing.T) { restUntouched(t, c) })
	t.Run("it forgets all that it did", func(t *testing.T) { forgets(t, c) })
	t.Run("what somebody else wrote meanwhile is a conflict", func(t *testing.T) { conflicts(t, c) })
	if c.Kind == nil {
		return
	}
	t.Run("an empty backend leaves the route", func(t *testing.T) { emptyLeaves(t, c) })
	t.Run("a Service is named when its endpoints have settled", func(t *testing.T) { namesWhatSettled(t, c) })
	t.Run("a route that is written anew by its user is respected", func(t *testing.T) { rewritten(t, c) })
	t.Run("every state leads back", func(t *testing.T) { leadsBack(t, c) })
	t.Run("bad references are said", func(t *testing.T) { badReferences(t, c) })
}

func setIsRead(t *testing.T, c Case) {
	w := newWorld(t, c)
	for _, r := range c.routes() {
		w.drive(r)
	}
	for _, r := range []rollout.Route{all(stable), all(candidate), all(stable)} {
		w.drive(r)
	}
}

func twiceIsOnce(t *testing.T, c Case) {
	w := newWorld(t, c)
	for _, route := range c.some() {
		w.drive(route)
		w.settle()
		w.writes = nil
		w.must(w.look().Set(t.Context(), route))
		if len(w.writes) > 0 {
			t.Errorf("%s stood already: %v", route, w.writes)
		}
	}
}

func restUntouched(t *testing.T, c Case) {
	w := newWorld(t, c)
	if c.Kind == nil {
		w.drive(all(candidate))
		s := w.service()
		if s.Spec.Selector["app"] != Service || s.Labels["team"] != "shop" || len(s.Spec.Ports) != 2 {
			t.Errorf("%+v", s)
		}
		return
	}
	before := w.foreign()
	for _, route := range c.routes() {
		w.drive(route)
		if d := cmp.Diff(before, w.foreign()); d != "" {
			t.Errorf("%s: what is not ours was changed:\n%s", route, d)
		}
	}
}

func (w *World) service() *corev1.Service {
	s := &corev1.Service{}
	w.must(w.Client.Get(w.Context(), client.ObjectKey{Namespace: Namespace, Name: Service}, s))
	return s
}

// foreign is the route object without the fields that a kind may change, and without the mark.
func (w *World) foreign() map[string]any {
	o := w.Route()
	for _, path := range w.c.Kind(w).Fields() {
		unstructured.RemoveNestedField(o.Object, path...)
	}
	t := theirs(o)
	t["annotations"] = withoutMark(o)
	return t
}

func withoutMark(o *unstructured.Unstructured) map[string]string {
	a := maps.Clone(o.GetAnnotations())
	delete(a, mark)
	if len(a) == 0 {
		return nil
	}
	return a
}

func forgets(t *testing.T, c Case) {
	for _, last := range []rollout.Version{stable, candidate} {
		w := newWorld(t, c)
		before, services := w.stands(), w.service().Spec
		for _, route := range c.routes() {
			w.drive(route)
		}
		w.drive(all(last))
		w.only(last)
		w.forget()
		if d := cmp.Diff(before, w.stands()); d != "" {
			t.Errorf("at rest on %s it is not what the user wrote:\n%s", last, d)
		}
		if d := cmp.Diff(services, w.service().Spec); d != "" || len(w.service().Annotations) > 0 || len(w.service().Labels) != 1 {
			t.Errorf("the Service is not what the user wrote: %v %v\n%s", w.service().Labels, w.service().Annotations, d)
		}
	}
}

// only leaves one version with pods, as it is at rest.
func (w *World) only(v rollout.Version) {
	for other := range w.pods {
		if other != v {
			w.pods[other] = 0
		}
	}
}

func (w *World) forget() {
	w.Helper()
	if w.c.Kind == nil {
		w.drive(rollout.Route{Open: true})
	}
	for range 20 {
		w.settle()
		done, err := w.look().Forget(w.Context())
		w.must(err)
		if done {
			if w.look().Marked() {
				w.Error("it says that it has forgotten all, and that something is left")
			}
			return
		}
	}
	w.Fatal("it never forgets")
}

// stands are all objects but Services and slices, as their users see them.
func (w *World) stands() map[string]map[string]any {
	now := map[string]map[string]any{}
	if w.c.Kind == nil {
		return now
	}
	kinds := []schema.GroupVersionKind{w.kind}
	if c, has := w.c.Kind(w).(traffic.Companion); has {
		kinds = append(kinds, c.Companions()...)
	}
	for _, kind := range kinds {
		for _, o := range w.List(kind) {
			now[o.GetKind()+" "+o.GetName()] = theirs(o)
		}
	}
	return now
}

func conflicts(t *testing.T, c Case) {
	w := newWorld(t, c)
	w.drive(all(stable))
	w.settle()
	r := w.look()
	goal := all(candidate)
	if c.Kind == nil {
		s := w.service()
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, "by", "somebody")
		w.must(w.Client.Update(t.Context(), s))
		if err := r.Set(t.Context(), goal); !apierrors.IsConflict(err) {
			t.Errorf("an old reading was written over a newer object: %v", err)
		}
		w.drive(goal)
		return
	}
	for range 20 {
		w.settle()
		r = w.look()
		version := w.Route().GetResourceVersion()
		w.write(func(o *unstructured.Unstructured) { o.SetLabels(map[string]string{"by": "somebody " + version}) })
		changed := w.Route().GetResourceVersion()
		err := r.Set(t.Context(), goal)
		if err == nil && w.Route().GetResourceVersion() != changed {
			t.Fatal("an old reading was written over a newer object")
		}
		if apierrors.IsConflict(err) {
			w.drive(goal)
			if by := w.Route().GetLabels()["by"]; by != "somebody "+version {
				t.Errorf("what somebody wrote is gone: %q", by)
			}
			return
		}
		w.must(err)
	}
	if k := c.Kind(w); len(k.Fields()) > 0 {
		t.Error("no write to the route was ever tried")
	}
}

func emptyLeaves(t *testing.T, c Case) {
	for _, route := range c.some() {
		if route.Weights[candidate] == 100 || !route.Reaches(candidate) {
			continue
		}
		w := newWorld(t, c)
		w.drive(route)
		w.pods[candidate] = 0
		for range 6 {
			w.settle()
			w.must(w.look().Set(t.Context(), route))
		}
		for name, o := range w.stands() {
			if strings.Contains(fmt.Sprint(o["spec"], o["annotations"].(map[string]string)[weightsOf]), traffic.TwinOf(Service)) {
				t.Errorf("%s: %s still names the empty Service: %v", route, name, o["spec"])
			}
		}
		w.pods[candidate] = 2
		w.drive(route)
	}
}

func namesWhatSettled(t *testing.T, c Case) {
	route := c.routes()[len(c.routes())-1]
	w := newWorld(t, c)
	before := w.stands()
	w.stand = settle - time.Second
	for range 6 {
		w.settle()
		w.must(w.look().Set(t.Context(), route))
	}
	w.settle()
	r := w.look()
	if d := cmp.Diff(before, w.stands()); d != "" {
		t.Errorf("a Service with an endpoint of %s was named:\n%s", w.stand, d)
	}
	if again := r.(*weighted.Router).Again(); again != time.Second || r.Read().Waits == "" {
		t.Errorf("it looks again in %s, and waits for %q", again, r.Read().Waits)
	}
	w.stand = settle
	w.drive(route)
	w.stand = 0 // what is named already stays, though its pods are replaced
	w.drive(route)
}

// weightsOf is where an Ingress of Traefik 1.x has its weights.
const weightsOf = "traefik.ingress.kubernetes.io/service-weights"

func rewritten(t *testing.T, c Case) {
	edit := c.Edit
	if edit == nil {
		edit = func(o *unstructured.Unstructured) {
			a := maps.Clone(o.GetAnnotations())
			if a == nil {
				a = map[string]string{}
			}
			a["note"] = "changed"
			o.SetAnnotations(a)
		}
	}
	for _, way := range []string{"replaced", "applied", "edited"} {
		for _, route := range c.some() {
			t.Run(way+" at "+route.String(), func(t *testing.T) {
				w := newWorld(t, c)
				mine := w.Route()
				w.drive(route)
				var want map[string]any
				w.write(func(o *unstructured.Unstructured) {
					switch way {
					case "replaced": // kubectl replace: what is left out is gone
						next := mine.DeepCopy()
						edit(next)
						next.SetResourceVersion(o.GetResourceVersion())
						o.Object = next.Object
						want = theirs(next)
					case "applied": // kubectl apply: annotations of others stay
						next := mine.DeepCopy()
						edit(next)
						want = theirs(next)
						o.Object["spec"] = runtime.DeepCopyJSONValue(next.Object["spec"])
						a := maps.Clone(o.GetAnnotations())
						if a == nil {
							a = map[string]string{}
						}
						maps.Copy(a, next.GetAnnotations())
						o.SetAnnotations(a)
					case "edited": // in place, with what is ours in it
						next := mine.DeepCopy()
						edit(next)
						want = theirs(next)
						edit(o)
					}
				})
				w.drive(route)
				w.drive(all(stable))
				w.only(stable)
				w.forget()
				got := theirs(w.Route())
				if !reflect.DeepEqual(got["spec"], want["spec"]) || fmt.Sprint(got["annotations"]) != fmt.Sprint(want["annotations"]) {
					t.Errorf("what the user wrote in the middle is not what is left:\n%s", cmp.Diff(want, got))
				}
			})
		}
	}
}

// leadsBack goes from the middle of everything to stable: at each look of the way to v2 it turns round.
func leadsBack(t *testing.T, c Case) {
	for looks := range 9 {
		w := newWorld(t, c)
		before := w.stands()
		w.drive(c.routes()[len(c.routes())-2])
		for range looks {
			w.settle()
			w.must(w.look().Set(t.Context(), all(candidate)))
		}
		w.drive(all(stable))
		w.only(stable)
		w.forget()
		if d := cmp.Diff(before, w.stands()); d != "" {
			t.Errorf("after %d looks:\n%s", looks, d)
		}
	}
}

func badReferences(t *testing.T, c Case) {
	plan := rollout.Plan{Strategy: rollout.BlueGreen}
	check := func(change func(o *unstructured.Unstructured)) error {
		w := newWorld(t, c)
		w.write(change)
		return w.look().Check(plan)
	}
	if err := check(func(*unstructured.Unstructured) {}); err != nil {
		t.Fatalf("a good route: %v", err)
	}
	kind := c.Kind(newWorld(t, c))
	rename := func(to string) func(o *unstructured.Unstructured) {
		return func(o *unstructured.Unstructured) {
			kind.Backends(o, func(_ string, list []any) []any {
				for _, raw := range list {
					if entry, is := raw.(map[string]any); is && kind.Backend(entry).Service == Service {
						kind.Rename(entry, to)
					}
				}
				return list
			})
		}
	}
	for name, tt := range map[string]struct {
		change func(*unstructured.Unstructured)
		reason string
		says   []string
	}{
		"a route without the Service": {rename("other"), traffic.ReasonRouteWithoutService, []string{"spec.traffic", Service, "name one of them"}},
		"a wrong port": {func(o *unstructured.Unstructured) {
			text, err := o.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			for _, port := range []string{"80", "9000"} {
				for _, form := range []string{`"port":%s`, `"number":%s`} {
					text = []byte(strings.ReplaceAll(string(text), fmt.Sprintf(form, port), fmt.Sprintf(form, "81")))
				}
			}
			if err := o.UnmarshalJSON(text); err != nil {
				t.Fatal(err)
			}
		}, traffic.ReasonRouteWrongPort, []string{"spec.traffic", "81", "80 (http)", "correct the port"}},
		"another Rollout's route": {func(o *unstructured.Unstructured) {
			a := maps.Clone(o.GetAnnotations())
			if a == nil {
				a = map[string]string{}
			}
			a[mark] = `{"rollout":"other","split":{},"found":{}}`
			o.SetAnnotations(a)
		}, traffic.ReasonRouteTaken, []string{"Rollout other", "route object of its own"}},
	} {
		p := traffic.AsProblem(check(tt.change))
		if p == nil || p.Reason != tt.reason {
			t.Errorf("%s: %v", name, p)
			continue
		}
		for _, says := range tt.says {
			if !strings.Contains(p.Text, says) {
				t.Errorf("%s: want %q in: %s", name, says, p.Text)
			}
		}
	}
}
