package kube_test

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	"gapless.dev/gapless/api/v1alpha1"
)

// TestKind_DeletedMidway: with the definition of the Rollout all Rollouts of the cluster go, so no other story is told beside it.
func TestKind_DeletedMidway(t *testing.T) {
	all := []cell{{"canary", "naive", world.ClusterIP, at25, "kind deleted"}}
	if soak {
		all = nil
		for _, strategy := range []string{"canary", "blue-green"} {
			for i, at := range places[strategy] {
				all = append(all, cell{strategy, services[i%2], vias[i%3], at, "kind deleted"})
			}
		}
	}
	for _, c := range all {
		t.Run(c.String(), func(t *testing.T) {
			w := world.New(t)
			form := formOf(c.service)
			w.Deploy(append([]string{"-start-delay", "1500ms"}, form.args...)...)
			w.Expose(c.via)
			before := w.Theirs()
			w.Adopt(strategies[c.strategy]())
			j := &journey{World: w, cell: c, from: "1.0.0", to: "2.0.0"}
			counted := w.UnderLoad(form.fresh, form.post, func() {
				w.Set(j.to)
				j.reach()
				out, err := exec.CommandContext(w.Context(), "kubectl", "delete", "crd", "rollouts.gapless.dev", "--timeout=120s").CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				w.Eventually("the Deployment is given back", time.Minute, func() error {
					if len(w.Deployment().Labels) > 0 {
						return fmt.Errorf("labels %v", w.Deployment().Labels)
					}
					return nil
				})
				j.native()
			})
			w.Row("midway", c.strategy, c.service, c.via, c.event+" "+c.at, counted)
			w.NothingLost(counted)
			if v := w.Version(); v != j.from {
				t.Errorf("%s serves, not %s", v, j.from)
			}
			w.SameAs(before)
			w.Halt()
			w.Reinstall()
			w.Eventually("the kind is served again", time.Minute, func() error { return w.List(w.Context(), &v1alpha1.RolloutList{}) })
		})
	}
}
