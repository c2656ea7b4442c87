package kube

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"gapless.dev/gapless/api/v1alpha1"
)

func TestBreakGlass_UnpinsThenGivesBudgetsAndDeploymentBack(t *testing.T) {
	d := newDesk(t)
	d.newTemplate()
	kept := &v1alpha1.Kept{
		Strategy:   &runtime.RawExtension{Raw: []byte(`{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":0}}`)},
		Disruption: &runtime.RawExtension{Raw: []byte(`{"mine":{"maxUnavailable":1}}`)},
	}
	line := breakGlass(d.app.seen, kept)
	parts := strings.Split(line, "; ")
	if len(parts) != 3 || !strings.Contains(parts[0], "svc/api") || !strings.Contains(parts[1], "pdb/mine") || !strings.Contains(parts[2], "deploy/api") {
		t.Fatalf("want Service, budget and Deployment in this order:\n%s", strings.Join(parts, "\n"))
	}
	for _, p := range parts {
		_, patch, found := strings.Cut(p, "-p '")
		if !found || !json.Valid([]byte(strings.TrimSuffix(patch, "'"))) {
			t.Errorf("not a patch: %s", p)
		}
	}
	for _, want := range []string{"gapless-release-$(kubectl -n shop get svc/api -o jsonpath='{.metadata.resourceVersion}')", `"pod-template-hash":null`} {
		if !strings.Contains(parts[0], want) {
			t.Errorf("no %s in: %s", want, parts[0])
		}
	}
	for _, want := range []string{"{.metadata.generation}", `"gapless.dev/held":null`, `"paused":null`, `"maxSurge":1`} {
		if !strings.Contains(parts[2], want) {
			t.Errorf("no %s in: %s", want, parts[2])
		}
	}
}

func TestStrategy_ThatTheGuardPutAside(t *testing.T) {
	for written, want := range map[string]string{
		"Recreate":            `{"type":"Recreate"}`,
		"RollingUpdate 25% 0": `{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":0,"maxSurge":"25%"}}`,
		"RollingUpdate 2 10%": `{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"10%","maxSurge":2}}`,
	} {
		if got := string(strategyOfWords(written)); got != want {
			t.Errorf("%s: %s", written, got)
		}
	}
	if got := strategyOfWords(""); got != nil {
		t.Errorf("nothing is %s", got)
	}
}
