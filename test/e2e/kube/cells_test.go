package kube_test

import (
	"maps"
	"os"
	"slices"
	"testing"

	"gapless.dev/gapless/test/e2e/world"
)

var (
	vias     = []string{world.ClusterIP, world.NodePort, world.LoadBalancer}
	soak     = os.Getenv("SOAK") != ""
	services = []string{"prepared", "naive"}
)

// cells are the rollouts to which something happens. In a soak that is every event at every place of every strategy; the service and the
// way to it take turns. Else each place of each strategy is visited by an event that fits it, and each pair of strategy and service and of
// strategy and way is met; what other stories of this folder tell is left to them.
func cells() []cell {
	if soak {
		return every()
	}
	var all []cell
	count := map[string]int{}
	add := func(strategy, at, event string) {
		n := count[strategy]
		count[strategy]++
		all = append(all, cell{strategy, services[n%2], vias[n/2%3], at, event})
	}
	add("canary", preparing, "Service by replace")
	add("blue-green", preparing, "API server restarted")
	add("rolling", shifting, "nothing")
	add("canary", at25, "the old manifest again")
	add("blue-green", holdingBack, "undo")
	add("canary", at75, "a node drained")
	add("blue-green", preview, "strategy by server-side")
	add("canary", promoting, "a candidate pod deleted")
	add("blue-green", promoting, "controller killed")
	add("rolling", shifting, "abort")
	add("canary", finishing, "a third version")
	add("blue-green", aborting, "unpaused by apply")
	add("canary", aborting, "a stable pod deleted")
	add("blue-green", draining, "controller restarted")
	add("canary", at75, "eject --force alone")
	add("blue-green", preview, "break-glass line")
	add("rolling", shifting, "a stable pod deleted")
	return all
}

// every cell that there is.
func every() []cell {
	var all []cell
	for _, strategy := range slices.Sorted(maps.Keys(strategies)) {
		for _, at := range places[strategy] {
			for _, event := range slices.Sorted(maps.Keys(events)) {
				if strategy == "rolling" && !happensToRolling[event] {
					continue
				}
				n := len(all)
				all = append(all, cell{strategy, services[n%2], vias[n/2%3], at, event})
			}
		}
	}
	return all
}

// happensToRolling are the events that mean something where Kubernetes rolls by itself: nothing is held, and nothing can be forced back.
var happensToRolling = map[string]bool{
	"nothing": true, "a third version": true, "the old manifest again": true, "undo": true, "abort": true, "scaling 3 to 6 to 2": true,
	"a stable pod deleted": true, "a candidate pod deleted": true, "a node drained": true, "API server restarted": true,
	"controller killed": true, "controller restarted": true, "Service by apply": true, "Service by server-side": true, "Service by replace": true,
}

func TestCells_EachPlaceIsMet(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cells() {
		for _, what := range []string{c.strategy + " " + c.service, c.strategy + " " + c.via, c.strategy + " " + c.at} {
			seen[what] = true
		}
		if events[c.event].does == nil || !slices.Contains(places[c.strategy], c.at) {
			t.Errorf("no such cell: %s", c)
		}
	}
	for strategy := range strategies {
		for _, at := range places[strategy] {
			if !seen[strategy+" "+at] {
				t.Errorf("%s is never met %s", strategy, at)
			}
		}
		for _, service := range services {
			if !seen[strategy+" "+service] {
				t.Errorf("%s is never met with a %s service", strategy, service)
			}
		}
	}
}
