package follow

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/cli/deploy"
	"gapless.dev/gapless/internal/cli/initialize"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
)

// initOfEachExample has the API server look at what gapless init makes of each example: it would take all of it as it stands. Those of which there
// are images are deployed, and come up and are adopted, without a change. That the same runs as before is a test of internal/cli/initialize.
func initOfEachExample(t *testing.T) {
	w := world.New(t)
	sources, err := filepath.Glob("../../../examples/*/kubernetes.yaml")
	world.Check(t, err)
	if len(sources) < 10 {
		t.Fatalf("only %d examples: %v", len(sources), sources)
	}
	var deployed []string
	images := strings.Fields(os.Getenv("E2E_IMAGES"))
	for _, source := range sources {
		name := filepath.Base(filepath.Dir(source))
		file := filepath.Join(t.TempDir(), "gapless.yaml")
		if out, err := w.Gapless(initialize.New, source, "-o", file); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		out, err := w.Gapless(deploy.New, "-f", file, "--dry-run")
		if err != nil || !strings.Contains(out, "Deployment") || !strings.Contains(out, "Rollout") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if !slices.Contains(inGo, name) || !slices.Contains(images, name+":1.0.0") {
			continue // its image is made with Docker
		}
		if out, err := w.Gapless(deploy.New, "-f", file, "--yes"); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		deployed = append(deployed, name)
	}
	if len(deployed) < len(inGo) {
		t.Errorf("only %v were deployed", deployed)
	}
	for _, name := range deployed {
		at := types.NamespacedName{Namespace: w.Namespace, Name: name}
		w.Eventually(name+" runs in the care of Gapless", 3*time.Minute, func() error {
			var d appsv1.Deployment
			var r v1alpha1.Rollout
			if err := errors.Join(w.Get(t.Context(), at, &d), w.Get(t.Context(), at, &r)); err != nil {
				return err
			}
			if d.Status.AvailableReplicas < *d.Spec.Replicas || r.Status.Phase != string(rollout.Idle) || r.Status.Adopted == nil {
				return fmt.Errorf("%d of %d serve, phase %q: %s", d.Status.AvailableReplicas, *d.Spec.Replicas, r.Status.Phase, r.Status.Message)
			}
			return nil
		})
	}
	t.Logf("deployed unchanged: %v", deployed)
}

// inGo are the examples whose program alone makes an image. The worker needs a volume besides, which no app file makes.
var inGo = []string{"chat", "chi", "grpc", "model", "nethttp"}
