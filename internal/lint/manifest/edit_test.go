package manifest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/lint/manifest"
)

const deployment = `# the shop's front
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, labels: {app: api}}   # flow
spec:
  replicas: 3 # three
  template:
    spec:
      containers:
        - name: app
          # serves
          command: ["sh", "-c", "./server"]
          lifecycle:
            preStop:
              exec: # waits
                # for the load balancer
                command: [sleep, "15"]
          env:
            - name: A
              value: |
                # no comment
                text
          # the end

`

func TestEdit_ChangesNothingElse(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(o *manifest.Object) manifest.Edit
		want string // the lines that are new, then those that are gone
	}{
		{"a number", func(o *manifest.Object) manifest.Edit { return o.Get("spec", "replicas").Set("2") }, "+  replicas: 2 # three\n-  replicas: 3 # three\n"},
		{"a new key at the end", func(o *manifest.Object) manifest.Edit { return o.Get("spec", "minReadySeconds").Set("10") }, "+  minReadySeconds: 10\n"},
		{"a new key behind another", func(o *manifest.Object) manifest.Edit {
			return o.Get("spec", "strategy", "rollingUpdate", "maxSurge").SetAfter("replicas", "1")
		}, "+  strategy:\n+    rollingUpdate:\n+      maxSurge: 1\n"},
		{"a key in a flow mapping", func(o *manifest.Object) manifest.Edit {
			return o.Get("metadata", "annotations", "a.b/c").Set("x")
		}, "+metadata: {name: api, labels: {app: api}, \"annotations\": {\"a.b/c\":\"x\"}}   # flow\n-metadata: {name: api, labels: {app: api}}   # flow\n"},
		{"a quoted item", func(o *manifest.Object) manifest.Edit {
			return o.Get("spec", "template", "spec", "containers").Items()[0].Get("command").Items()[2].Set(`"exec ./server"`)
		}, "+          command: [\"sh\", \"-c\", \"exec ./server\"]\n-          command: [\"sh\", \"-c\", \"./server\"]\n"},
		{"another key and value", func(o *manifest.Object) manifest.Edit {
			return o.Get("spec", "template", "spec", "containers").Items()[0].Get("lifecycle", "preStop", "exec").Replace("sleep", "seconds: 15")
		}, "+              sleep: # waits\n+                seconds: 15\n-              exec: # waits\n-                command: [sleep, \"15\"]\n"},
		{"an item more", func(o *manifest.Object) manifest.Edit {
			return o.Get("spec", "template", "spec", "containers").Items()[0].Get("env").Append("name: B\nvalue: \"1\"")
		}, "+            - name: B\n+              value: \"1\"\n"},
		{"a list that was not there", func(o *manifest.Object) manifest.Edit {
			return o.Get("spec", "template", "spec", "readinessGates").Append("conditionType: x")
		}, "+      readinessGates:\n+        - conditionType: x\n"},
		{"another document", func(o *manifest.Object) manifest.Edit { return o.AddAfter("kind: X\n") }, "+---\n+kind: X\n"},
	} {
		for _, breaks := range []string{"\n", "\r\n"} {
			t.Run(test.name, func(t *testing.T) {
				text := strings.ReplaceAll(deployment, "\n", breaks)
				f, problems := manifest.Parse("d.yaml", []byte(text))
				if problems != nil {
					t.Fatal(problems)
				}
				got, refused := f.Apply([]manifest.Edit{test.edit(f.Objects[0])})
				if refused != nil {
					t.Fatal(refused)
				}
				if diff := cmp.Diff(test.want, changes(text, string(got), breaks)); diff != "" {
					t.Errorf("(-want +got):\n%s\n%s", diff, got)
				}
			})
		}
	}
}

func TestEdit_WorksInJSON(t *testing.T) {
	f, _ := manifest.Parse("d.json", []byte("{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Pod\",\n  \"metadata\": {\"name\": \"it's {a}\"},\n  \"spec\": {\n    \"a\": [1]\n  }\n}\n"))
	o := f.Objects[0]
	got, refused := f.Apply([]manifest.Edit{o.Get("spec", "grace").Set("45"), o.Get("spec", "list").Append("b: 1"), o.AddAfter("kind: X\n")})
	if len(refused) != 1 || !errors.Is(refused[0], manifest.ErrByHand) {
		t.Errorf("a second document in JSON: %v", refused)
	}
	want := "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Pod\",\n  \"metadata\": {\"name\": \"it's {a}\"},\n  \"spec\": {\n    \"a\": [1],\n    \"grace\": 45,\n    \"list\": [{\"b\":1}]\n  }\n}\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestEdit_LeavesSharedTextAlone(t *testing.T) {
	text := "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nx: &p {periodSeconds: 10}\nspec:\n  probe: *p\n  merged:\n    <<: *p\n"
	f, _ := manifest.Parse("p.yaml", []byte(text))
	o := f.Objects[0]
	if got := o.Get("spec", "merged", "periodSeconds").Int(0); got != 10 {
		t.Errorf("through the merge: %d", got)
	}
	got, refused := f.Apply([]manifest.Edit{o.Get("spec", "probe", "periodSeconds").Set("2"), o.Get("spec", "merged", "deep", "er").Set("1"), o.Get("spec", "merged", "periodSeconds").Set("2")})
	if len(refused) != 1 {
		t.Errorf("refused: %v", refused)
	}
	if want := text + "    deep:\n      er: 1\n    periodSeconds: 2\n"; string(got) != want {
		t.Errorf("got\n%s", got)
	}
}

func TestParse_ReadsTheGoodDocumentsAndNamesTheBadLines(t *testing.T) {
	text := "%YAML 1.1\n---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n---\nkind: Pod\n  bad: [\n--- # next\napiVersion: v1\nkind: Pod\nmetadata:\n  name: b\n  namespace: n\n---\n# nothing\n---\na: {{ .Values.x }}\n"
	f, problems := manifest.Parse("x.yaml", []byte(text))
	var ids []string
	for _, o := range f.Objects {
		ids = append(ids, o.ID())
	}
	if diff := cmp.Diff([]string{"Pod/a", "Pod/n/b"}, ids); diff != "" {
		t.Error(diff)
	}
	if len(problems) != 2 || problems[0].Line != 11 || !strings.Contains(problems[1].Fix, "helm template") {
		t.Errorf("%v", problems)
	}
	if string(f.Text()) != text {
		t.Error("the text was not kept")
	}
	if line := f.Objects[1].Get("metadata", "name").Line(); line != 16 {
		t.Errorf("line %d", line)
	}
}

// changes are the lines of one text that the other has not, trimmed of breaks.
func changes(before, after, breaks string) string {
	var b strings.Builder
	rest := strings.Split(before, breaks)
	var added []string
	for _, line := range strings.Split(after, breaks) {
		if len(rest) > 0 && rest[0] == line {
			rest = rest[1:]
			continue
		}
		if i := index(rest, line); i >= 0 && i < 4 {
			for _, gone := range rest[:i] {
				added = append(added, "-"+gone)
			}
			rest = rest[i+1:]
			continue
		}
		b.WriteString("+" + line + "\n")
	}
	for _, gone := range append(added, rest...) {
		if strings.HasPrefix(gone, "-") {
			b.WriteString(gone + "\n")
		}
	}
	return b.String()
}

func index(lines []string, line string) int {
	for i, l := range lines {
		if l == line {
			return i
		}
	}
	return -1
}
