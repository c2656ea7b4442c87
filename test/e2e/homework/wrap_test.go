package homework

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/test/e2e/world"
	"gapless.dev/kit/load"
)

var rolls = flag.Int("rolls", 0, "how often each example is rolled; default once, in a soak 20 times")

// A rolled is an example, deployed by its own manifest, whose image is then set to another.
type rolled struct {
	example string
	odd     string // what is odd about the service, if anything is
	image   string // with both tags, 1.0.0 and 2.0.0
	// command is what the Dockerfile of the example says, since an image made of a folder has no entry point. gapless is that of a sidecar.
	command, gapless []string
	post             float64
	loses            bool
}

// Services in four languages that know nothing of being replaced, wrapped, and one in Go with kit: a plain kubectl set image rolls
// them, nobody drives, and nothing is lost.
func TestRolling_WrappedServicesAndKitLoseNothing(t *testing.T) {
	wrap := []string{"/gapless", "wrap", "--"}
	python := []string{"python3", "/server.py"}
	all := []rolled{
		{example: "nethttp", image: "nethttp", post: 0.2},
		{example: "python", image: "python", command: slices.Concat(wrap, python), post: 0.2},
		{example: "nginx", image: "nginx", command: []string{"/gapless", "wrap", "--listen", ":8080", "--to", "127.0.0.1:8000", "--", "nginx", "-g", "daemon off;"}},
		{example: "node", image: "node", command: slices.Concat(wrap, []string{"node", "/server.js"}), post: 0.2},
		{example: "sidecar", image: "python", command: python, gapless: []string{"/gapless"}, post: 0.2},
	}
	rate, times := 100.0, 1
	if os.Getenv("SOAK") != "" {
		rate, times = 300, 20
		all = append(all,
			rolled{example: "python", image: "python", command: []string{"python3", "-c", mortal}, post: 0.2, loses: true},
			rolled{example: "python", image: "python", post: 0.2, odd: "closes everything at once", command: slices.Concat(wrap, []string{"python3", "-c", mortal})},
			rolled{
				example: "python", image: "python", post: 0.2, odd: "ignores SIGTERM",
				command: slices.Concat(wrap, []string{"/bin/sh", "-c", `trap "" TERM; exec "$@"`, "sh"}, python),
			},
			rolled{
				example: "python", image: "python", post: 0.2, odd: "forked by a shell that stays",
				command: slices.Concat(wrap, []string{"/bin/sh", "-c", `"$@"; exit 0`, "sh"}, python),
			},
			rolled{
				example: "node", image: "node", post: 0.2, odd: "forks four workers",
				command: slices.Concat(wrap, []string{"node", "-e", fourWorkers}),
			})
	}
	if *rolls > 0 {
		times = *rolls
	}
	for _, r := range all {
		t.Run(r.name(), func(t *testing.T) {
			if os.Getenv("SOAK") == "" {
				t.Parallel()
			}
			if !slices.Contains(strings.Fields(os.Getenv("E2E_IMAGES")), r.image+":1.0.0") {
				t.Skipf("there is no image of %s: this machine does not have what it is made of", r.image)
			}
			w := world.New(t)
			w.Halt() // nobody drives
			r.deploy(w)
			for n := range times {
				r.roll(w, rate, fmt.Sprintf("%d.0.0", 2-n%2))
			}
		})
	}
}

// mortal is the example in Python, which dies of SIGTERM as programs do outside of containers. As the first process of one the kernel keeps
// the signal from it: it would serve on until the grace period is over.
const mortal = `import os, runpy, signal; signal.signal(signal.SIGTERM, lambda *_: os._exit(0)); runpy.run_path("/server.py", run_name="__main__")`

// fourWorkers is a program for Node, whose four workers share the example's port.
const fourWorkers = `const c = require("node:cluster"); c.setupPrimary({exec: "/server.js", execArgv: []}); for (let i = 0; i < 4; i++) c.fork()`

// name is what a table says of it.
func (r rolled) name() string {
	switch {
	case r.odd != "":
		return r.example + ", wrapped, " + r.odd
	case r.loses:
		return r.example + ", bare"
	case r.gapless != nil:
		return r.image + ", wrapped by a sidecar"
	case r.command != nil:
		return r.example + ", wrapped"
	}
	return r.example + ", with kit"
}

// deploy creates what the example's manifest says, and waits until all pods serve.
func (r rolled) deploy(w *world.World) {
	w.Helper()
	text, err := os.ReadFile("../../../examples/" + r.example + "/kubernetes.yaml")
	world.Check(w.T, err)
	docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := docs.Decode(object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			w.Fatal(err)
		}
		object.SetNamespace(w.Namespace)
		if object.GetKind() == "Deployment" {
			r.fill(w, object, "containers", r.command)
			r.fill(w, object, "initContainers", r.gapless)
		}
		world.Check(w.T, w.Create(w.Context(), object))
	}
	r.whole(w, "1.0.0")
}

// fill gives the first container of a list its image and command.
func (r rolled) fill(w *world.World, d *unstructured.Unstructured, list string, command []string) {
	w.Helper()
	containers, found, err := unstructured.NestedSlice(d.Object, "spec", "template", "spec", list)
	world.Check(w.T, err)
	if !found {
		return
	}
	first := containers[0].(map[string]any)
	first["image"] = r.image + ":1.0.0"
	if command != nil {
		words := make([]any, len(command))
		for i, word := range command {
			words[i] = word
		}
		first["command"] = words
	}
	if r.loses { // without wrap its health is its own
		probe := map[string]any{"httpGet": map[string]any{"path": "/healthz", "port": int64(8080)}, "periodSeconds": int64(1)}
		first["readinessProbe"] = probe
	}
	world.Check(w.T, unstructured.SetNestedSlice(d.Object, containers, "spec", "template", "spec", list))
}

// roll is kubectl set image under load, until the last old pod is gone.
func (r rolled) roll(w *world.World, rate float64, tag string) {
	w.Helper()
	var s corev1.Service
	world.Check(w.T, w.Get(w.Context(), types.NamespacedName{Namespace: w.Namespace, Name: r.example}, &s))
	counted := w.Probing(load.Options{URL: "http://" + s.Spec.ClusterIP + "/", Rate: rate, New: 0.5, Post: r.post, Timeout: 10 * time.Second}, func() {
		patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"%s:%s"}]`, r.image, tag)
		world.Check(w.T, w.Patch(w.Context(), r.deployment(w), client.RawPatch(types.JSONPatchType, []byte(patch))))
		r.whole(w, tag)
	})
	w.Row("homework", "rolling, nobody drives", r.name(), world.ClusterIP, "kubectl set image", counted)
	switch {
	case !r.loses:
		w.NothingLost(counted)
	case counted.Lost == 0:
		w.Error("a bare service lost nothing")
	}
}

// whole waits until all pods are of that image, serve, and are the only ones.
func (r rolled) whole(w *world.World, tag string) {
	w.Helper()
	w.Eventually(r.example+" is "+tag, 3*time.Minute, func() error {
		d := r.deployment(w)
		if s, n := d.Status, *d.Spec.Replicas; s.ObservedGeneration < d.Generation || s.UpdatedReplicas != n || s.AvailableReplicas != n || s.Replicas != n {
			return fmt.Errorf("%+v", s)
		}
		var pods corev1.PodList
		if err := w.List(w.Context(), &pods, client.InNamespace(w.Namespace)); err != nil {
			return err
		}
		for _, p := range pods.Items {
			if p.DeletionTimestamp != nil || p.Spec.Containers[0].Image != r.image+":"+tag {
				return fmt.Errorf("%s has image %s, deleted %v", p.Name, p.Spec.Containers[0].Image, p.DeletionTimestamp)
			}
		}
		return nil
	})
}

func (r rolled) deployment(w *world.World) *appsv1.Deployment {
	w.Helper()
	d := &appsv1.Deployment{}
	world.Check(w.T, w.Get(w.Context(), types.NamespacedName{Namespace: w.Namespace, Name: r.example}, d))
	return d
}
