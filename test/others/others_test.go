// Package others asks the libraries of other tools what they say of a Deployment while Gapless rolls it.
package others

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	flux "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	helm "helm.sh/helm/v4/pkg/kube"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/kubectl/pkg/polymorphichelpers"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

var update = flag.Bool("update", false, "write the page")

const page = "../../docs/reference/others.md"

// A moment is a Deployment with its ReplicaSets as they stood on a real cluster: testdata is written by the stories of test/e2e/scenes.
type moment struct {
	What        string              `json:"what"`
	Deployment  appsv1.Deployment   `json:"deployment"`
	ReplicaSets []appsv1.ReplicaSet `json:"replicaSets"`
}

// tools in the order of the table.
var tools = []struct {
	name string
	says func(*testing.T, moment) string
}{
	{"kubectl rollout status", kubectlSays},
	{"helm --wait=legacy (Helm 3: --wait)", helmSays},
	{"helm --wait (Helm 4), Flux", fluxSays},
	{"kstatus", kstatusSays},
	{"Argo CD health", argoSays},
}

func TestOthers_SayWhatThePageSays(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no moments: %v", err)
	}
	slices.Sort(files)
	var out strings.Builder
	out.WriteString(head)
	out.WriteString("| when | paused |")
	for _, tool := range tools {
		out.WriteString(" " + tool.name + " |")
	}
	out.WriteString("\n|---|---|" + strings.Repeat("---|", len(tools)) + "\n")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var m moment
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		paused := ""
		if m.Deployment.Spec.Paused {
			paused = "yes"
		}
		fmt.Fprintf(&out, "| %s | %s |", m.What, paused)
		for _, tool := range tools {
			out.WriteString(" " + strings.ReplaceAll(tool.says(t, m), "|", "\\|") + " |")
		}
		out.WriteString("\n")
	}
	out.WriteString(foot)
	if *update {
		if err := os.WriteFile(page, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != out.String() {
		t.Errorf("%s says something else; go test -C test/others -update writes it:\n%s", page, out.String())
	}
}

func unstructuredOf(t *testing.T, m moment) *unstructured.Unstructured {
	t.Helper()
	d := m.Deployment
	d.APIVersion, d.Kind = "apps/v1", "Deployment"
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&d)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: fields}
}

func kubectlSays(t *testing.T, m moment) string {
	t.Helper()
	viewer, err := polymorphichelpers.StatusViewerFor(appsv1.SchemeGroupVersion.WithKind("Deployment").GroupKind())
	if err != nil {
		t.Fatal(err)
	}
	_, done, err := viewer.Status(unstructuredOf(t, m), 0)
	switch {
	case err != nil:
		return "fails"
	case done:
		return "done"
	}
	return "waits"
}

func helmSays(t *testing.T, m moment) string {
	t.Helper()
	objects := []runtime.Object{&m.Deployment}
	for i := range m.ReplicaSets {
		objects = append(objects, &m.ReplicaSets[i])
	}
	checker := helm.NewReadyChecker(fake.NewClientset(objects...), helm.PausedAsReady(true), helm.CheckJobs(true))
	ready, err := checker.IsReady(context.Background(), &resource.Info{Namespace: m.Deployment.Namespace, Name: m.Deployment.Name, Object: &m.Deployment})
	if err != nil {
		t.Fatal(err)
	}
	if ready {
		return "ready"
	}
	return "waits"
}

func fluxSays(t *testing.T, m moment) string {
	t.Helper()
	r, err := flux.Compute(unstructuredOf(t, m))
	if err != nil {
		t.Fatal(err)
	}
	return r.Status.String()
}

func kstatusSays(t *testing.T, m moment) string {
	t.Helper()
	r, err := status.Compute(unstructuredOf(t, m))
	if err != nil {
		t.Fatal(err)
	}
	return r.Status.String()
}

func argoSays(t *testing.T, m moment) string {
	t.Helper()
	h, err := health.GetResourceHealth(unstructuredOf(t, m), nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(h.Status)
}

const head = `# What other tools say of the Deployment

<!-- Written by go test -C test/others -update. -->

A Deployment that is rolled by canary or blue-green is paused while two versions stand, and has the strategy Recreate for that time. Tools that look at
the Deployment alone say of it what stands here: their own libraries were asked, with objects that were taken on a real cluster in each phase.

`

const foot = `
So a deployment pipeline that has to know whether the new version serves waits with ` + "`gapless status --wait`" + ` or ` + "`gapless deploy --wait`" + `. The old way of Helm
to wait takes a paused Deployment as ready, and is green before the first pod. Argo CD shows the application as suspended for the time of the rollout, which is true;
a version that was taken back leaves nothing behind that these tools could see. The Rollout's condition Aborted tells of it, and ` + "`gapless status --wait`" + ` ends with an error.

Argo CD and Flux see drift in ` + "`spec.paused`" + ` and ` + "`spec.strategy`" + ` meanwhile. What they write is put back in the same write, so nothing breaks; to have them
leave it alone, ignore these two fields.
`
