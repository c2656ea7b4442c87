package routers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/cli/eject"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
)

// at waits until a manual step stands.
func (e *edge) at(step string) {
	e.Helper()
	e.Until("step "+step+" stands", func(r *v1alpha1.Rollout) bool { return awaits(r) && r.Status.Step == step })
}

func TestAbort_AtEachStep(t *testing.T) {
	t.Parallel()
	steps := []int{2}
	if soak {
		steps = []int{1, 2, 3}
	}
	for _, way := range []way{ingressRoute, httpRoute}[:map[bool]int{false: 1, true: 2}[soak]] {
		for _, step := range steps {
			t.Run(fmt.Sprintf("%s/step %d", way.name, step), func(t *testing.T) {
				t.Parallel()
				e := newEdge(t, step%2 == 0)
				e.setUp(way, canary("manual", 25, 50, 100))
				before, route := e.Theirs(), e.asWritten(way)
				counted := e.Probing(e.light(0.5), func() {
					e.Set("2.0.0")
					for n := 1; n <= step; n++ {
						e.at(fmt.Sprintf("%d/3", n))
						if n < step {
							e.Order(rollout.Promote)
						}
					}
					time.Sleep(time.Second)
					e.Order(rollout.Abort)
					e.Rests("stable again", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
				})
				e.NothingLost(counted)
				failed := e.logFailures()
				e.SameAs(before)
				e.sameRoute(way, route)
				e.row("canary", "prepared", way, fmt.Sprintf("abort at %d %%", []int{25, 50, 100}[step-1]), counted, failed...)
			})
		}
	}
}

func TestThirdVersion_StartsOverAndLosesNothing(t *testing.T) {
	t.Parallel()
	for _, way := range []way{httpRoute, ingressRoute}[:map[bool]int{false: 1, true: 2}[soak]] {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, true)
			e.setUp(way, canary("manual", 25, 100), "-naive")
			before, route := e.Theirs(), e.asWritten(way)
			counted := e.Probing(e.light(0.5), func() {
				e.Set("2.0.0")
				e.at("1/2")
				e.Set("3.0.0")
				e.Until("its first step stands", func(r *v1alpha1.Rollout) bool { return awaits(r) && r.Status.Revision == 3 })
				e.Order(rollout.PromoteFull)
				e.Rests("3.0.0 is stable", isStable(3))
			})
			e.NothingLost(counted)
			failed := e.logFailures()
			if counted.Versions["2.0.0"] == 0 || counted.Versions["3.0.0"] == 0 {
				t.Errorf("answers by version: %v", counted.Versions)
			}
			e.SameAs(before)
			e.sameRoute(way, route)
			e.row("canary", "naive", way, "a third version at 25 %", counted, failed...)
		})
	}
}

// The ways in which people write a route anew.
var writings = map[string]func(*edge, *unstructured.Unstructured){
	"client-side apply": func(e *edge, o *unstructured.Unstructured) {
		body := map[string]any{"metadata": map[string]any{"labels": o.GetLabels()}, "spec": o.Object["spec"]}
		e.patch(o, types.MergePatchType, body)
	},
	"server-side apply with force": func(e *edge, o *unstructured.Unstructured) { apply(e.World, o) },
	"replace": func(e *edge, o *unstructured.Unstructured) {
		e.Eventually("replaced", 10*time.Second, func() error {
			now := o.DeepCopy()
			if err := e.Get(e.Context(), client.ObjectKeyFromObject(o), now); err != nil {
				return err
			}
			next := o.DeepCopy()
			next.SetResourceVersion(now.GetResourceVersion())
			return e.Update(e.Context(), next)
		})
	},
}

func (e *edge) patch(o *unstructured.Unstructured, kind types.PatchType, body map[string]any) {
	e.Helper()
	text := jsonOf(e.World, &unstructured.Unstructured{Object: body})
	world.Check(e.T, e.Patch(e.Context(), o.DeepCopy(), client.RawPatch(kind, text)))
}

func TestRoute_ThatIsWrittenAnewMidwayIsDividedAgain(t *testing.T) {
	t.Parallel()
	for _, way := range []way{ingressRoute, httpRoute}[:map[bool]int{false: 1, true: 2}[soak]] {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, false)
			e.setUp(way, canary("manual", 25, 50, 75, 100))
			before, route := e.Theirs(), e.asWritten(way)
			all := objects(e.World, strings.ReplaceAll(way.objects, "PORT", "1"))
			mine := all[len(all)-1]
			if way.name == "IngressRoute" {
				mine = all[0]
			}
			mine.SetNamespace(e.Namespace)
			counted := e.Probing(e.light(0.5), func() {
				e.Set("2.0.0")
				step := 1
				for _, name := range []string{"client-side apply", "server-side apply with force", "replace"} {
					e.at(fmt.Sprintf("%d/4", step))
					writings[name](e, mine)
					e.Eventually("divided again after "+name, 30*time.Second, func() error {
						now := mine.DeepCopy()
						if err := e.Get(e.Context(), client.ObjectKeyFromObject(mine), now); err != nil {
							return err
						}
						if !strings.Contains(fmt.Sprint(now.Object["spec"]), "demo-api-candidate") {
							return fmt.Errorf("the route does not name the candidate")
						}
						return nil
					})
					e.at(fmt.Sprintf("%d/4", step))
					e.Order(rollout.Promote)
					step++
				}
				e.at("4/4")
				e.Order(rollout.Promote)
				e.Rests("2.0.0 is stable", isStable(2))
			})
			e.NothingLost(counted)
			failed := e.logFailures()
			e.SameAs(before)
			e.sameRoute(way, route)
			e.row("canary", "prepared", way, "the route applied anew in three ways", counted, failed...)
		})
	}
}

func TestEject_MidwayGoesBackToStableFirst(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                string
		way                 way
		controller, rollout bool
		args                []string
	}{
		{"deleting the Rollout", httpRoute, true, true, nil},
		{"by force when controller and Rollout are gone", ingressRoute, false, false, []string{"--force"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, false)
			e.setUp(tt.way, canary("manual", 50))
			before, route := e.Theirs(), e.asWritten(tt.way)
			counted := e.Probing(e.light(0.5), func() {
				e.Set("2.0.0")
				e.at("1/1")
				if !tt.controller {
					e.Halt()
				}
				if !tt.rollout {
					r := e.Rollout()
					r.Finalizers = nil
					world.Check(t, e.Update(e.Context(), r))
					world.Check(t, e.Delete(e.Context(), r))
					time.Sleep(3 * time.Second) // what would be collected with it is
				}
				if tt.controller {
					world.Check(t, e.Delete(e.Context(), e.Rollout()))
				} else if out, err := e.Gapless(eject.New, append([]string{world.Demo, "--timeout", "2m"}, tt.args...)...); err != nil {
					t.Fatal(err, out)
				}
				e.Eventually("Kubernetes has three pods of one version", 2*time.Minute, func() error {
					d := e.Deployment()
					if d.Status.ObservedGeneration < d.Generation || d.Status.Replicas != 3 || d.Status.UpdatedReplicas != 3 || d.Status.AvailableReplicas != 3 || len(d.Labels) > 0 {
						return fmt.Errorf("%v %+v", d.Labels, d.Status)
					}
					return nil
				})
			})
			e.NothingLost(counted)
			failed := e.logFailures()
			if tt.rollout {
				e.SameAs(before)
			}
			e.sameRoute(tt.way, route)
			e.row("canary", "prepared", tt.way, "eject at 50 %, "+tt.name, counted, failed...)
		})
	}
}

func TestEject_InAnyPhase(t *testing.T) {
	t.Parallel()
	phases := []rollout.Phase{rollout.Finishing}
	if soak {
		phases = []rollout.Phase{rollout.Preparing, rollout.Shifting, rollout.Promoting, rollout.Finishing, rollout.Aborting}
	}
	for _, way := range []way{ingressRoute, httpRoute}[:map[bool]int{false: 1, true: 2}[soak]] {
		for _, phase := range phases {
			t.Run(way.name+"/"+string(phase), func(t *testing.T) {
				t.Parallel()
				e := newEdge(t, true)
				e.setUp(way, canary("1s", 50))
				before, route := e.Theirs(), e.asWritten(way)
				counted := e.Probing(e.light(0.5), func() {
					e.Set("2.0.0")
					if phase == rollout.Aborting {
						e.Until("it shifts", func(r *v1alpha1.Rollout) bool { return r.Status.Phase == string(rollout.Shifting) })
						e.Order(rollout.Abort)
					}
					end := time.Now().Add(time.Minute)
					for e.Rollout().Status.Phase != string(phase) {
						if time.Now().After(end) {
							t.Fatalf("never in %s", phase)
						}
						time.Sleep(20 * time.Millisecond)
					}
					world.Check(t, e.Delete(e.Context(), e.Rollout()))
					e.Eventually("the Deployment is given back", 2*time.Minute, func() error {
						d := e.Deployment()
						if d.Status.ObservedGeneration < d.Generation || d.Status.Replicas != 3 || d.Status.AvailableReplicas != 3 || len(d.Labels) > 0 {
							return fmt.Errorf("%v %+v", d.Labels, d.Status)
						}
						return nil
					})
				})
				e.NothingLost(counted)
				failed := e.logFailures()
				e.SameAs(before)
				e.sameRoute(way, route)
				e.row("canary", "prepared", way, "the Rollout deleted while "+string(phase), counted, failed...)
			})
		}
	}
}

func TestTraefik_ThatIsDownIsWaitedFor(t *testing.T) {
	t.Parallel()
	e := newEdge(t, false)
	e.setUp(ingressRoute, canary("manual", 25, 50))
	before, route := e.Theirs(), e.asWritten(ingressRoute)
	ask := func(at string) {
		e.Eventually("asked at "+at, 10*time.Second, func() error {
			r := e.Rollout()
			r.Spec.Traffic.Traefik.API = at
			return e.Update(e.Context(), r)
		})
	}
	waits := func() {
		e.Until("it waits and says so", func(r *v1alpha1.Rollout) bool {
			return r.Status.Phase == string(rollout.Shifting) && r.Status.Reason == rollout.ReasonRouteConverging && strings.Contains(r.Status.Message, "Traefik does not tell at http://127.0.0.1:")
		})
	}
	counted := e.Probing(e.light(0.5), func() {
		e.Set("2.0.0")
		e.at("1/2")
		ask("http://127.0.0.1:1") // as if a network policy were in the way
		waits()
		time.Sleep(2 * time.Second)
		waits()
		ask(e.api)
		e.at("1/2")
		e.Order(rollout.Promote)
		e.at("2/2")
	})
	e.NothingLost(counted)
	e.row("canary", "prepared", ingressRoute, "its API out of reach at 25 %, then Traefik down at 50 %, whose requests nobody counts", counted)
	e.stop() // Traefik itself: what is lost now is not lost by a rollout, so nobody counts
	e.Order(rollout.Promote)
	// Whether the loop saw the order or that Traefik is gone first, it does not go on.
	e.Until("it waits and says for whom", func(r *v1alpha1.Rollout) bool {
		return (r.Status.Phase == string(rollout.Shifting) || r.Status.Phase == string(rollout.Promoting)) && strings.Contains(r.Status.Message, "connection refused")
	})
	e.start()
	e.Rests("2.0.0 is stable", isStable(2))
	e.SameAs(before)
	e.sameRoute(ingressRoute, route)
}
