package world

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kubectl runs a command line of kubectl in the story's namespace, and returns what it printed.
func (w *World) Kubectl(args ...string) (string, error) {
	out, err := exec.CommandContext(w.Context(), "kubectl", append([]string{"-n", w.Namespace}, args...)...).CombinedOutput()
	return string(out), err
}

// MustKubectl is Kubectl where that must work.
func (w *World) MustKubectl(args ...string) string {
	w.Helper()
	out, err := w.Kubectl(args...)
	if err != nil {
		w.Fatalf("kubectl %v: %v: %s", args, err, out)
	}
	return out
}

// File is an object as a manifest, as its user keeps it.
func (w *World) File(o client.Object) string {
	w.Helper()
	raw, err := json.Marshal(o)
	Check(w.T, err)
	var fields map[string]any
	Check(w.T, json.Unmarshal(raw, &fields))
	delete(fields, "status")
	raw, err = json.Marshal(fields)
	Check(w.T, err)
	path := filepath.Join(w.TempDir(), "manifest.json")
	Check(w.T, os.WriteFile(path, raw, 0o644))
	return path
}

// Ways to write a manifest once more, as people and their tools do.
var Ways = map[string][]string{
	"apply":       {"apply", "-f"},
	"server-side": {"apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-f"},
	"replace":     {"replace", "-f"},
}

// Write writes a manifest in one of the Ways.
func (w *World) Write(way string, o client.Object) {
	w.Helper()
	w.MustKubectl(append(Ways[way], w.File(o))...)
}

// RestartAPIServer stops the API server, starts it again after a while, and waits until it answers.
func (w *World) RestartAPIServer(away time.Duration) {
	w.Helper()
	tool := os.Getenv("GAPLESS_CLUSTER_TOOL")
	if tool == "" {
		w.Skip("needs GAPLESS_CLUSTER_TOOL: test/e2e/run sets it")
	}
	out, err := exec.CommandContext(w.Context(), tool, "-name", os.Getenv("GAPLESS_CLUSTER"), "restart", "-away", away.String(), "kube-apiserver").CombinedOutput()
	if err != nil {
		w.Fatalf("restart the API server: %v: %s", err, out)
	}
	w.Eventually("the API server answers", time.Minute, func() error {
		return w.Get(w.Context(), client.ObjectKeyFromObject(w.demo()), w.demo())
	})
}
