package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/gate/spec"
)

func TestGuide_ItsRolloutsAndStepsAreWhole(t *testing.T) {
	text, err := os.ReadFile("../../docs/guide/routers.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for part := range strings.SplitSeq(string(text), "```yaml\n") {
		block, _, closed := strings.Cut(part, "```")
		if blocks++; blocks == 1 || !closed {
			continue // before the first
		}
		if strings.HasPrefix(block, "apiVersion") {
			wholeRollout(t, block)
			continue
		}
		var steps v1alpha1.Canary
		if err := yaml.UnmarshalStrict([]byte(block), &steps); err != nil || len(steps.Steps) == 0 {
			t.Errorf("%v in:\n%s", err, block)
		}
	}
	if blocks < 4 {
		t.Errorf("%d blocks", blocks)
	}
}

func TestGuide_HasAnExampleOfEachGate(t *testing.T) {
	text, err := os.ReadFile("../../docs/guide/gates.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, part := range strings.Split(string(text), "```yaml\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		wholeRollout(t, block)
		l := &look{rollout: &v1alpha1.Rollout{}, deploy: newDesk(t).deployment(), replicas: 4}
		if err := yaml.UnmarshalStrict([]byte(block), l.rollout); err != nil {
			continue // it was said
		}
		gates := gatesOf(l)
		if err := spec.Validate(gates); err != nil {
			t.Errorf("%v in:\n%s", err, block)
		}
		for _, g := range gates {
			kinds[g.Kind()] = true
		}
	}
	if len(kinds) != 5 {
		t.Errorf("of five kinds only %v", kinds)
	}
}

func TestExamples_TheirRolloutsAreWhole(t *testing.T) {
	files, err := filepath.Glob("../../examples/kubernetes/*/rollout.yaml")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	files = append(files, "../../examples/gates/rollout.yaml")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		wholeRollout(t, string(text))
	}
}

func wholeRollout(t *testing.T, text string) {
	t.Helper()
	var r v1alpha1.Rollout
	if err := yaml.UnmarshalStrict([]byte(text), &r); err != nil {
		t.Errorf("%v in:\n%s", err, text)
		return
	}
	if s := r.Spec.Strategy; s == nil || s.Canary == nil {
		return
	}
	if err := planOf(&look{rollout: &r, deploy: newDesk(t).deployment(), replicas: 4}).Validate(); err != nil {
		t.Errorf("%v in:\n%s", err, text)
	}
}
