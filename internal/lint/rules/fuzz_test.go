package rules_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
	"gapless.dev/gapless/internal/lint/rules"
)

// Whatever a report of a live test says: it is refused, or what is mended by it can be read and is mended once.
func FuzzCheckReport(f *testing.F) {
	manifests, err := os.ReadFile("testdata/checked.yaml")
	if err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile("testdata/checked.check.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{
		string(seed), "", "{}", "[]", `{"startMs":1e300}`, `{"startMs":-1}`, `{"rules":[{}]}`, `{"rules":[{"id":"Z3","result":"pass"}],"service":{"ready":"/a\n: b"}}`,
		`{"rules":[{"id":"Z3","result":"pass"}],"service":{"ready":"/#{","healthPort":99999}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checked, err := lint.ParseCheckReport("f.json", data)
		if err != nil {
			return
		}
		file, _ := manifest.Parse("f.yaml", manifests)
		once, _ := lint.Fix(rules.All, []*manifest.File{file}, lint.Answers{}, checked)
		again, problems := manifest.Parse("f.yaml", once[0].After)
		if len(problems) > 0 {
			t.Fatalf("mended into something that cannot be read: %v\n%s", problems, once[0].After)
		}
		twice, _ := lint.Fix(rules.All, []*manifest.File{again}, lint.Answers{}, checked)
		if twice[0].Changed() {
			t.Errorf("twice is not once:\n%s\n---- then\n%s", once[0].After, twice[0].After)
		}
	})
}

// Whatever comes in: nothing panics, what was mended can be read, and mending it again changes nothing.
func FuzzManifests(f *testing.F) {
	files, _ := filepath.Glob("*/*.yaml")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range []string{
		"", "---", "\ufeffapiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "a: &a [*a]", "{}", "[]", "kind: List\napiVersion: v1\nitems: [[]]",
		"apiVersion: v1\nkind: PodList\nitems:\n- apiVersion: v1\n  kind: List\n  items: []\n",
		"apiVersion: apps/v1\nkind: Deployment\nspec: &s\n  <<: *s\n", "apiVersion: apps/v1\nkind: Deployment\nspec:\n  replicas: 99999999999999999999\n",
		"apiVersion: apps/v1\nkind: Deployment\nspec:\n  template: {spec: {containers: [{ports: [{containerPort: 1}], env: [{name: GAPLESS_DRAIN, value: -5s}]}]}}",
		"apiVersion: apps/v1\r\nkind: Deployment\r\nspec:\r\n  template:\r\n    spec:\r\n      containers:\r\n      - ports: [{containerPort: 1}]\r\n        command: [sh, -c, 'a b']\r\n",
	} {
		f.Add([]byte(text))
	}
	answers := lint.Answers{"K1.ready": "/r:80", "K2.prestop": "5s", "K3.start": "40s", "K3.deadline": "15m", "K4.strategy": "RollingUpdate", "K9.drain": "90s", "K9.minReady": "30s", "K10.readiness": "ServeTerminating"}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, problems := manifest.Parse("f.yaml", data)
		result := lint.Judge(rules.All, lint.NewWorld([]*manifest.File{file}, answers, nil))
		var out bytes.Buffer
		if result.Text(&out, 80) != nil || result.SARIF(&out, "") != nil || result.JUnit(&out, lint.Info) != nil || result.JSON(&out) != nil {
			t.Error("an output fails")
		}
		if len(problems) > 0 {
			return
		}
		if !bytes.Equal(file.Text(), data) {
			t.Error("the text was not kept")
		}
		once, _ := lint.Fix(rules.All, []*manifest.File{file}, answers, nil)
		again, problems := manifest.Parse("f.yaml", once[0].After)
		if len(problems) > 0 {
			t.Fatalf("mended into something that cannot be read: %v\n%s", problems, once[0].After)
		}
		twice, _ := lint.Fix(rules.All, []*manifest.File{again}, answers, nil)
		if twice[0].Changed() {
			t.Errorf("twice is not once:\n%s\n---- then\n%s", once[0].After, twice[0].After)
		}
	})
}
