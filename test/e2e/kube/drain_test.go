package kube_test

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rolled is a version whose pods were born since the adoption.
func rolled(w *world.World, version string) {
	w.Helper()
	j := &journey{World: w}
	w.Set(version)
	j.end(version)
}

// TestDrainAtBirth: at rest Kubernetes itself ends pods, for whatever reason, and a service that just dies on SIGTERM loses no new
// connection, because its pods were born with a drain.
func TestDrainAtBirth_WhoeverEndsAPodLosesNothing(t *testing.T) {
	w := world.New(t)
	w.Deploy("-naive")
	w.Expose(world.ClusterIP)
	w.Adopt(world.BlueGreen())
	rolled(w, "2.0.0")
	stable := func(n int32) {
		w.Available(n)
		w.Eventually("no pod is on its way out", time.Minute, func() error {
			if all := w.PodNames(); len(all) != int(n) {
				return fmt.Errorf("%d pods", len(all))
			}
			return nil
		})
	}
	for _, ends := range []struct {
		name string
		via  string
		does func()
	}{
		{"kubectl scale", world.ClusterIP, func() {
			w.ScaleTo(5)
			stable(5)
			w.ScaleTo(2)
			stable(2)
		}},
		{"kubectl delete pod", world.NodePort, func() {
			w.MustKubectl("delete", "pod", w.PodNames()[0])
			stable(2)
		}},
		{"kubectl drain", world.ClusterIP, func() {
			out, err := exec.CommandContext(w.Context(), "kubectl", "drain", "node-1", "--ignore-daemonsets", "--force", "--timeout=60s").CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			stable(2)
			w.MustKubectl("uncordon", "node-1")
		}},
		{"externalTrafficPolicy: Local, a node's only pod deleted", world.LoadBalancer, func() {
			w.MustKubectl("delete", "pod", w.PodNames()[0])
			stable(2)
		}},
	} {
		t.Run(ends.name, func(t *testing.T) {
			w.In(t)
			w.Via = ends.via
			if ends.via == world.LoadBalancer {
				world.Check(t, w.Patch(w.Context(), w.Service(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"externalTrafficPolicy":"Local"}}`))))
				time.Sleep(2 * time.Second)
			}
			counted := w.UnderLoad(1, 0.3, ends.does)
			w.Row("drain at birth", "at rest", "naive", ends.via, ends.name, counted)
			w.NothingLost(counted)
		})
	}
	if r := w.Rollout(); r.Status.Revision != 2 || r.Status.Candidate != nil {
		t.Errorf("revision %d: %s", r.Status.Revision, r.Status.Message)
	}
}
