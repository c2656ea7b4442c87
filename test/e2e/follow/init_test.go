package follow

import (
	"path/filepath"
	"strings"
	"testing"

	"gapless.dev/gapless/internal/cli/deploy"
	"gapless.dev/gapless/internal/cli/initialize"
	"gapless.dev/gapless/test/e2e/world"
)

// initOfEachExample has the API server look at what gapless init makes of each example: it would take all of it as it stands. That the same runs
// as before is a test of internal/cli/initialize.
func initOfEachExample(t *testing.T) {
	w := world.New(t)
	sources, err := filepath.Glob("../../../examples/*/kubernetes.yaml")
	world.Check(t, err)
	if len(sources) < 10 {
		t.Fatalf("only %d examples: %v", len(sources), sources)
	}
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
	}
}
