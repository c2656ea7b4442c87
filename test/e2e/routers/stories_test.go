package routers_test

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/probe"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
	"gapless.dev/kit/load"
)

var soak = os.Getenv("SOAK") != ""

// forms of the service, and the load: half on new connections for both, since the connections of clients end at Traefik.
var forms = []struct {
	name string
	args []string
}{{"prepared", nil}, {"naive", []string{"-naive"}}}

func (e *edge) load(fresh float64) load.Options {
	return load.Options{URL: e.url, Rate: 300, New: fresh, Post: 0.3, Timeout: 10 * time.Second}
}

// light is a third of that, for stories that are told beside others.
func (e *edge) light(fresh float64) load.Options {
	o := e.load(fresh)
	if !soak {
		o.Rate = 100
	}
	return o
}

// setUp deploys the service behind a way, and has it rolled with a strategy.
func (e *edge) setUp(way way, s *v1alpha1.Strategy, args ...string) {
	e.Helper()
	e.Deploy(args...)
	e.routed(way, s)
}

// routed has the service that stands rolled behind a way.
func (e *edge) routed(way way, s *v1alpha1.Strategy) {
	e.Helper()
	e.write(strings.ReplaceAll(way.objects, "PORT", strconv.Itoa(e.web)))
	e.Adopt(s, func(r *v1alpha1.Rollout) { r.Spec.Traffic = way.traffic(e) })
}

func canary(pause string, weights ...int32) *v1alpha1.Strategy {
	c := &v1alpha1.Canary{}
	for _, w := range weights {
		c.Steps = append(c.Steps, v1alpha1.Step{Weight: new(w), Pause: pause})
	}
	return &v1alpha1.Strategy{Canary: c}
}

func (e *edge) sameRoute(w way, before string) {
	e.Helper()
	if now := e.asWritten(w); now != before {
		e.Errorf("at rest the route is not what the user wrote:\n%s", cmp.Diff(before, now))
	}
}

func awaits(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote }

func isStable(revision int64) func(*v1alpha1.Rollout) bool {
	return func(r *v1alpha1.Rollout) bool { return r.Status.Revision == revision && r.Status.Candidate == nil }
}

func TestCanary_LosesNothingAndGivesTheShareAskedFor(t *testing.T) {
	t.Parallel()
	cells := []struct {
		way   way
		form  int
		empty bool
	}{{ingressRoute, 0, false}}
	if soak {
		cells = nil
		for _, w := range []way{ingressRoute, traefikService, httpRoute} {
			for form := range forms {
				cells = append(cells, struct {
					way   way
					form  int
					empty bool
				}{w, form, false}, struct {
					way   way
					form  int
					empty bool
				}{w, form, true})
			}
		}
	}
	for _, c := range cells {
		t.Run(fmt.Sprintf("%s/%s/allowEmptyServices=%v", c.way.name, forms[c.form].name, c.empty), func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, c.empty)
			e.setUp(c.way, canary("manual", 1, 5, 25, 50, 100), forms[c.form].args...)
			before, route := e.Theirs(), e.asWritten(c.way)
			var seen []string
			counted := e.Watching(e.load(0.5), func(p *probe.Probe) {
				e.Set("2.0.0")
				for i, weight := range []int{1, 5, 25, 50, 100} {
					e.Until(fmt.Sprintf("%d %% stand", weight), func(r *v1alpha1.Rollout) bool {
						return awaits(r) && r.Status.Step == fmt.Sprintf("%d/5", i+1)
					})
					seen = append(seen, e.sees(p, weight, 4*time.Second))
					e.Order(rollout.Promote)
				}
				e.Rests("2.0.0 is stable", isStable(2))
			})
			e.NothingLost(counted)
			failed := e.logFailures()
			e.SameAs(before)
			e.sameRoute(c.way, route)
			e.row("canary", forms[c.form].name, c.way, "1, 5, 25, 50, 100 %", counted, append(failed, "seen: "+strings.Join(seen, ", ")+" %")...)
			proves(t, c.way.name, toDataPlane, "weights")
		})
	}
}

// sees compares the share of a version in what was answered in a while with its weight: within 3 points, or within what chance allows of so
// few. It returns the share in percent.
func (e *edge) sees(p *probe.Probe, weight int, d time.Duration) string {
	e.Helper()
	before := p.Traffic().Versions
	time.Sleep(d)
	after := p.Traffic().Versions
	all, of := 0, after["2.0.0"]-before["2.0.0"]
	for v, n := range after {
		all += n - before[v]
	}
	if all == 0 {
		e.Errorf("at %d %% nothing was answered", weight)
		return "none"
	}
	share, want := float64(of)/float64(all), float64(weight)/100
	// The weights are exact in every round of Traefik's; what is left is where the window begins and ends. 4 standard deviations bound chance.
	bound := max(0.03, 4*math.Sqrt(want*(1-want)/float64(all)))
	if weight == 1 {
		bound = 4 * math.Sqrt(want*(1-want)/float64(all))
	}
	e.Logf("%d %%: %d of %d answers were of 2.0.0, %.1f %%", weight, of, all, 100*share)
	if math.Abs(share-want) > bound {
		e.Errorf("at %d %% the share was %.1f %%", weight, 100*share)
	}
	return fmt.Sprintf("%.1f", 100*share)
}

func TestBlueGreen_LosesNothing(t *testing.T) {
	t.Parallel()
	ways, empties, services := []way{httpRoute}, []bool{true}, forms[1:]
	if soak {
		ways, empties, services = []way{ingressRoute, traefikService, httpRoute, ingress, nginx}, []bool{false, true}, forms
	}
	for _, way := range ways {
		for _, f := range services {
			for _, empty := range empties {
				t.Run(fmt.Sprintf("%s/%s/allowEmptyServices=%v", way.name, f.name, empty), func(t *testing.T) {
					t.Parallel()
					e := newEdge(t, empty)
					e.setUp(way, world.BlueGreen(), f.args...)
					before, route := e.Theirs(), e.asWritten(way)
					counted := e.Probing(e.load(0.5), func() {
						e.Set("2.0.0")
						e.Rests("2.0.0 is stable", isStable(2))
					})
					e.NothingLost(counted)
					failed := e.logFailures()
					if counted.Versions["2.0.0"] == 0 {
						t.Error("2.0.0 never served")
					}
					e.SameAs(before)
					e.sameRoute(way, route)
					e.row("blue-green", f.name, way, "rollout", counted, failed...)
					proves(t, way.name, toDataPlane, "blue-green")
				})
			}
		}
	}
}
