// Package scenes types along what the READMEs of examples/kubernetes say, on a cluster into which Gapless was installed as they say.
package scenes

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
	"gapless.dev/gapless/test/typed"
)

const examples = "../../../examples/kubernetes"

// scenes are those of the talk, in its order. Each is a folder.
var scenes = []string{"recreate", "rolling", "blue-green", "canary"}

// Scenes are typed side by side, however few processors there are: most of the time they wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil {
		_ = f.Value.Set("8")
	}
	os.Exit(m.Run())
}

// The scenes of the talk, typed as their READMEs say, side by side, in a cluster whose controller was installed as they say. In the midst of
// it the controller is itself replaced, and killed. At the end everything is uninstalled, and no pod of an app notices.
func TestScenes(t *testing.T) {
	w := world.Bare(t)
	whole := newTerminal(w, examples)
	blocks, err := typed.Blocks(filepath.Join(examples, "README.md"))
	world.Check(t, err)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks in the README", len(blocks))
	}
	whole.types(blocks[0].Text)
	var mu sync.Mutex
	table := map[string][2]counted{}
	t.Run("typed", func(t *testing.T) {
		for _, scene := range scenes {
			t.Run(scene, func(t *testing.T) {
				t.Parallel()
				hand, ours := play(t, scene)
				mu.Lock()
				defer mu.Unlock()
				table[scene] = [2]counted{hand, ours}
			})
		}
		t.Run("what other tools go by", func(t *testing.T) {
			t.Parallel()
			moments(t)
		})
		t.Run("a namespace is deleted midway", func(t *testing.T) {
			t.Parallel()
			vanish(t)
		})
		t.Run("the controller is replaced and killed", func(t *testing.T) {
			t.Parallel()
			disturb(t, w)
		})
	})
	t.Logf("lost by a naive service, on new connections:\n%s", printed(table))
	leave(t, w, whole, blocks[1].Text)
}

// play types a scene and returns what each of its halves lost.
func play(t *testing.T, scene string) (hand, ours counted) {
	w := world.Bare(t)
	folder := filepath.Join(examples, scene)
	blocks, err := typed.Blocks(filepath.Join(folder, "README.md"))
	world.Check(t, err)
	term := newTerminal(w, folder)
	var stop func() counted
	at := ""
	ends := func() {
		switch at {
		case "By hand":
			hand = stop()
		case "With Gapless":
			ours = stop()
		}
		stop = nil
	}
	for i, b := range blocks {
		if b.Begins("gapless probe") {
			stop, at = term.probe(b.Text), b.Heading
			continue
		}
		term.types(b.Text)
		// What is typed right after a probe is what it is there for.
		if stop != nil && i > 0 && blocks[i-1].Begins("gapless probe") {
			ends()
		}
	}
	if hand.requests == 0 || ours.requests == 0 {
		t.Fatalf("nothing was counted: by hand %+v, with Gapless %+v", hand, ours)
	}
	switch {
	case scene == "recreate" && ours.lost == 0:
		t.Error("a recreate has a gap, and it was not seen")
	case scene != "recreate" && ours.lost > 0:
		t.Errorf("%d of %d lost with Gapless", ours.lost, ours.requests)
	}
	return hand, ours
}

// disturb waits until a rollout is on its way, and then replaces the controller's pods as any Deployment's, and kills the one that leads.
func disturb(t *testing.T, outer *world.World) {
	w := outer.In(t)
	active := func() error {
		var all v1alpha1.RolloutList
		if err := w.List(t.Context(), &all); err != nil {
			return err
		}
		for _, r := range all.Items {
			if rollout.Active(rollout.Phase(r.Status.Phase)) {
				return nil
			}
		}
		return fmt.Errorf("none of %d Rollouts is on its way", len(all.Items))
	}
	w.Eventually("a rollout is on its way", 4*time.Minute, active)
	system := func(args ...string) string {
		return w.MustKubectl(append([]string{"-n", "gapless-system"}, args...)...)
	}
	system("rollout", "restart", "deployment/gapless-controller")
	system("rollout", "status", "deployment/gapless-controller", "--timeout=2m")
	w.Eventually("another one leads, and is killed", time.Minute, func() error {
		holder := system("get", "lease", "gapless-controller", "-o", "jsonpath={.spec.holderIdentity}")
		pod, _, _ := strings.Cut(holder, "_")
		if pod == "" {
			return errors.New("nobody leads")
		}
		if out, err := w.Kubectl("-n", "gapless-system", "delete", "pod", pod, "--grace-period=0", "--force"); err != nil {
			return errors.New(out)
		}
		t.Logf("%s led and was killed, with a rollout on its way: %v", pod, active() == nil)
		return nil
	})
}

// vanish deletes a namespace in the midst of a rollout. Nothing of ours keeps it.
func vanish(t *testing.T) {
	w := world.Bare(t)
	w.Deploy()
	w.Adopt(world.Canary("manual"))
	w.Set("2.0.0")
	w.Until("the step stands", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
	ns := &corev1.Namespace{}
	ns.Name = w.Namespace
	world.Check(t, w.Delete(w.Context(), ns))
	w.Eventually("the namespace goes", 3*time.Minute, func() error {
		if err := w.Get(t.Context(), types.NamespacedName{Name: w.Namespace}, ns); !kube.Gone(err) {
			return fmt.Errorf("%+v, %v", ns.Status.Conditions, err)
		}
		return nil
	})
}

// leave uninstalls while an app is adopted, and sees that its pods stay as they are.
func leave(t *testing.T, outer *world.World, whole *terminal, block string) {
	w := world.Bare(t)
	w.Deploy()
	before, pods := w.Theirs(), restarts(w)
	w.Adopt(world.BlueGreen())
	var all string
	lost := w.UnderLoad(0.5, 0.3, func() { all = whole.types(block) })
	w.NothingLost(lost)
	w.SameAs(before)
	if now := restarts(w); !maps.Equal(pods, now) {
		t.Errorf("pods were %v and are %v", pods, now)
	}
	if labels := w.Deployment().Labels; len(labels) > 0 {
		t.Errorf("labels are left: %v", labels)
	}
	if !strings.Contains(all, "deleted CustomResourceDefinition rollouts.gapless.dev") {
		t.Errorf("uninstall says %s", all)
	}
	w.Eventually("nothing of Gapless is left", time.Minute, func() error {
		if err := w.Get(t.Context(), types.NamespacedName{Name: "gapless-system"}, &corev1.Namespace{}); !kube.Gone(err) {
			return fmt.Errorf("the namespace: %w", err)
		}
		if out, err := outer.Kubectl("get", "mutatingadmissionpolicies,clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/part-of=gapless", "-o", "name"); err != nil || strings.TrimSpace(out) != "" {
			return fmt.Errorf("%w %s", err, out)
		}
		return nil
	})
}

func restarts(w *world.World) map[string]int32 {
	w.Helper()
	var pods corev1.PodList
	world.Check(w.T, w.List(w.Context(), &pods, client.InNamespace(w.Namespace)))
	all := map[string]int32{}
	for _, p := range pods.Items {
		for _, c := range p.Status.ContainerStatuses {
			all[p.Name] += c.RestartCount
		}
	}
	return all
}

// printed is the table as the examples have it.
func printed(table map[string][2]counted) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "scene\tby hand\tlongest gap\twith Gapless\tlongest gap")
	for _, scene := range slices.Sorted(maps.Keys(table)) {
		hand, ours := table[scene][0], table[scene][1]
		fmt.Fprintf(w, "%s\t%d of %d\t%s\t%d of %d\t%s\n", scene, hand.lost, hand.requests, hand.gap, ours.lost, ours.requests, ours.gap)
	}
	w.Flush()
	return out.String()
}

// Each README has two halves, and each half one probe.
func TestScenes_HaveTwoHalves(t *testing.T) {
	for _, scene := range scenes {
		blocks, err := typed.Blocks(filepath.Join(examples, scene, "README.md"))
		world.Check(t, err)
		probes := map[string]int{}
		for _, b := range blocks {
			if b.Begins("gapless probe") {
				probes[b.Heading]++
			}
		}
		if probes["By hand"] != 1 || probes["With Gapless"] != 1 {
			t.Errorf("%s: probes under %v", scene, probes)
		}
	}
}
