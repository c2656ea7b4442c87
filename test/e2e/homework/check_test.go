// Package homework tells how services are checked where they will live: on the nodes of a cluster.
package homework

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/internal/check"
	"gapless.dev/gapless/internal/check/pod"
	"gapless.dev/gapless/internal/cli/adopt"
	command "gapless.dev/gapless/internal/cli/check"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/lint"
	"gapless.dev/gapless/test/e2e/world"
)

// A Deployment is checked while it serves: its pods are not touched, nobody loses a request, and nothing is left behind.
func TestCheck_OfPodsLeavesThoseThatServeAlone(t *testing.T) {
	w := world.New(t)
	w.Deploy()
	naive(w)
	before := w.PodNames()
	args := []string{"--quick"}
	if os.Getenv("SOAK") != "" {
		args = nil
	}
	var good, bad check.Report
	counted := w.UnderLoad(0.5, 0.2, func() {
		var both sync.WaitGroup
		both.Go(func() {
			good = checked(w, 0, append(slices.Clone(args), "--pod", "deploy/"+world.Demo, "--live", "/healthz", "--slow", "/slow?ms={ms}")...)
		})
		both.Go(func() { bad = checked(w, exit.Failed, append(slices.Clone(args), "--pod", "deploy/naive")...) })
		both.Wait()
	})
	w.NothingLost(counted)
	if good.Verdict != check.Pass || good.StartMs <= 0 {
		w.Errorf("verdict %s, start %v ms", good.Verdict, good.StartMs)
	}
	for _, id := range []string{"Z1", "Z2", "Z3", "Z4", "Z5", "Z6", "Z7", "Z8", "Z9", "Z10", "Z13", "Z14"} {
		if r := rule(w, good, id); r.Result != "pass" {
			w.Errorf("%s: %s: %s %q", id, r.Result, r.Why, r.Evidence)
		}
	}
	if len(bad.Rules) == 0 || len(good.Rules) == 0 {
		return
	}
	if bad.Cause != "Z1" || rule(w, bad, "Z5").Why != "blocked by Z1" {
		w.Errorf("first cause %q: %+v", bad.Cause, bad.Rules)
	}
	advised(w, good)
	if after := w.PodNames(); !slices.Equal(before, after) {
		w.Errorf("pods before %v, after %v", before, after)
	}
	var left corev1.PodList
	world.Check(t, w.List(w.Context(), &left, client.InNamespace(w.Namespace), client.HasLabels{pod.Label}))
	if len(left.Items) > 0 {
		w.Errorf("%d copies were left behind", len(left.Items))
	}
}

// The pods that serve are stopped only when that is said, and then one at a time.
func TestCheck_OfServingPodsStopsOneAtATime(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		t.Skip("SOAK=1 tells it")
	}
	w := world.New(t)
	w.Deploy()
	before := w.PodNames()
	good := checked(w, 0, "--quick", "--serving", "--pod", "deploy/"+world.Demo, "--live", "/healthz", "--slow", "/slow?ms={ms}")
	if good.Verdict != check.Pass {
		w.Errorf("verdict %s: %+v", good.Verdict, good.Rules)
	}
	w.Available(3)
	if after := w.PodNames(); slices.Equal(before, after) {
		w.Error("no pod was stopped")
	}
}

func checked(w *world.World, code int, args ...string) (r check.Report) {
	w.Helper()
	out, err := w.Gapless(command.New, append(args, "-o", "json")...)
	if got := exit.Code(err); got != code {
		w.Errorf("exit code %d (%v), want %d:\n%s", got, err, code, out)
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		w.Errorf("%v in:\n%s", err, out)
	}
	for _, one := range r.Rules {
		w.Logf("%-4s %s: %s", one.ID, one.Result, one.Why)
	}
	return r
}

func rule(w *world.World, r check.Report, id string) check.Rule {
	w.Helper()
	i := slices.IndexFunc(r.Rules, func(one check.Rule) bool { return one.ID == id })
	if i < 0 {
		w.Fatalf("%s was not judged", id)
	}
	return r.Rules[i]
}

// advised: lint and adopt judge what stands, and take from the check what only that could know.
func advised(w *world.World, good check.Report) {
	w.Helper()
	const unknown = "nothing here delays the stop of container app"
	out, err := w.Gapless(lint.New, "deploy/"+world.Demo)
	if exit.Code(err) != exit.Failed || !strings.Contains(out, "warning K5  Deployment/"+w.Namespace+"/"+world.Demo) || !strings.Contains(out, unknown) {
		w.Errorf("lint: exit code %d:\n%s", exit.Code(err), out)
	}
	name := filepath.Join(w.TempDir(), "report.json")
	text, err := json.Marshal(good)
	world.Check(w.T, err)
	world.Check(w.T, os.WriteFile(name, text, 0o600))
	if out, _ := w.Gapless(lint.New, "deploy/"+world.Demo, "--check", name); strings.Contains(out, unknown) {
		w.Errorf("lint does not know what the check has seen:\n%s", out)
	}
	before := w.Theirs()
	if out, err := w.Gapless(lint.New, "deploy/"+world.Demo, "--fix", "--yes"); !strings.Contains(out, "+kind: PodDisruptionBudget") || !strings.Contains(out, "nothing is written to a cluster") {
		w.Errorf("lint --fix: %v:\n%s", err, out)
	}
	w.SameAs(before)
	out, err = w.Gapless(adopt.New, "deploy/"+world.Demo, "--strategy", "rolling", "--check", name)
	if exit.Code(err) != exit.Failed || !strings.Contains(out, "What gapless lint finds in it") || !strings.Contains(out, "nothing was changed") {
		w.Errorf("adopt: exit code %d:\n%s", exit.Code(err), out)
	}
}

// naive is a second Deployment, of the service that dies of SIGTERM.
func naive(w *world.World) {
	w.Helper()
	labels := map[string]string{"app": "naive"}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "naive", Namespace: w.Namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "app", Image: world.Image, Args: []string{"-naive"}, Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
					ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: world.IntOrString(8080)}}},
				}}},
			},
		},
	}
	world.Check(w.T, w.Create(w.Context(), d))
	w.Eventually("the naive pod serves", 2*time.Minute, func() error {
		var now appsv1.Deployment
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(d), &now); err != nil || now.Status.AvailableReplicas < 1 {
			return fmt.Errorf("%d available: %w", now.Status.AvailableReplicas, err)
		}
		return nil
	})
}
