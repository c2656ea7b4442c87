package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	"gapless.dev/gapless/api/v1alpha1"
)

// services and the load on them. What a naive service loses on kept-alive connections cannot be saved by a Service: it is shown.
var services = []struct {
	name, connections string
	args              []string
	fresh             float64
}{
	{"prepared", "half kept", nil, 0.5},
	{"naive", "new", []string{"-naive"}, 1},
	{"naive", "half kept", []string{"-naive"}, 0.5},
}

// ways to roll. The first is plain Kubernetes.
var ways = []struct {
	name     string
	strategy *v1alpha1.Strategy
}{
	{"kubectl set image", nil},
	{"recreate", &v1alpha1.Strategy{Recreate: &v1alpha1.Recreate{}}},
	{"rolling", &v1alpha1.Strategy{Rolling: &v1alpha1.Rolling{}}},
	{"blue-green", world.BlueGreen()},
	{"canary, 2 steps", world.Canary("3s", "3s")},
}

// TestLosses rolls each service in each way and counts requests: those of clients that were lost, and those to the API server that it took.
func TestLosses(t *testing.T) {
	out := newTable(t, "One rollout of 3 replicas under 300 requests a second, 30 % of them POST",
		"how", "service", "connections", "lost", "of", "longest gap", "API requests", "of them writes", "time")
	for _, way := range ways {
		for _, s := range services {
			if way.name == "recreate" && s.name == "naive" && s.fresh < 1 {
				continue
			}
			t.Run(way.name+"/"+s.name+"/"+s.connections, func(t *testing.T) {
				w := world.New(t)
				w.Deploy(s.args...)
				if way.strategy != nil {
					if way.strategy.Recreate != nil {
						w.PatchDeployment(`[{"op":"replace","path":"/spec/strategy","value":{"type":"Recreate"}}]`)
					}
					w.Adopt(way.strategy)
					w.Set("1.5.0") // pods that drain from birth; the first rollout after adoption is a story of its own
					stable(w, "1.5.0")
				}
				w.Requests.Store(0)
				w.Writes.Store(0)
				took := time.Duration(0)
				counted := w.UnderLoad(s.fresh, 0.3, func() {
					began := time.Now()
					w.Set("2.0.0")
					if way.strategy == nil {
						w.Available(3)
					} else {
						stable(w, "2.0.0")
					}
					took = time.Since(began)
					if way.strategy == nil {
						time.Sleep(2 * time.Second)
					}
				})
				requests, writes := "-", "-"
				if way.strategy != nil {
					time.Sleep(6 * time.Second) // what is said late is said by then
					requests, writes = fmt.Sprint(w.Requests.Load()), fmt.Sprint(w.Writes.Load())
				}
				out.row(way.name, s.name, s.connections, fmt.Sprint(counted.Lost), fmt.Sprint(counted.Requests),
					counted.LongestGap.Duration().Round(time.Millisecond).String(), requests, writes, took.Round(time.Second/10).String())
			})
		}
	}
	t.Run("at rest", func(t *testing.T) {
		w := world.New(t)
		w.Deploy()
		w.Adopt(world.BlueGreen())
		w.Set("2.0.0")
		stable(w, "2.0.0")
		time.Sleep(10 * time.Second)
		w.Requests.Store(0)
		time.Sleep(time.Minute)
		out.say("At rest the controller made %d requests in a minute, its lease (one write each 2 s) and watches aside.", w.Requests.Load())
	})
}

func stable(w *world.World, version string) {
	w.Helper()
	w.Rests(version+" is stable", func(r *v1alpha1.Rollout) bool {
		d := w.Deployment()
		return w.Version() == version && r.Status.Candidate == nil && d.Status.ObservedGeneration >= d.Generation &&
			d.Status.UpdatedReplicas == 3 && d.Status.Replicas == 3 && d.Status.AvailableReplicas == 3
	})
}
