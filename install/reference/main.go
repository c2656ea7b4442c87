// Command reference prints the page of the Rollout from its definition: go run ./install/reference > docs/reference/rollout.md
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/install"
)

func main() {
	if err := Page(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

const top = `# Rollout

<!-- Printed by go run ./install/reference; do not edit. -->

A Rollout (` + "`gapless.dev/v1alpha1`" + `, short name ` + "`gro`" + `) stands beside a Deployment and says how it is rolled. The shortest useful one:

` + "```yaml" + `
apiVersion: gapless.dev/v1alpha1
kind: Rollout
metadata: {name: demo-api}
spec: {strategy: {canary: {}}}
` + "```" + `

It rolls the Deployment ` + "`demo-api`" + ` of its namespace. Whoever changes the template of that Deployment begins a rollout.
`

// Page writes the reference.
func Page(w io.Writer) error {
	objects, err := install.Objects(install.Options{})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(objects, func(u *unstructured.Unstructured) bool { return u.GetKind() == "CustomResourceDefinition" })
	if i < 0 {
		return fmt.Errorf("install holds no definition of the Rollout")
	}
	versions, _, _ := unstructured.NestedSlice(objects[i].Object, "spec", "versions")
	schema, _, _ := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema")
	var out strings.Builder
	out.WriteString(top)
	for _, part := range []string{"spec", "status"} {
		s, _, _ := unstructured.NestedMap(schema, "properties", part)
		fmt.Fprintf(&out, "\n## %s\n\n%s\n\n| field | type | default | meaning |\n|---|---|---|---|\n", part, sentence(s))
		fields(&out, part, s)
		if rules := rulesOf(part, s); len(rules) > 0 {
			fmt.Fprintf(&out, "\nThe API server refuses, in these words:\n\n")
			for _, r := range rules {
				fmt.Fprintf(&out, "- %s\n", r)
			}
		}
	}
	fmt.Fprintf(&out, "\n## Conditions\n\n| type | status | reason | means |\n|---|---|---|---|\n")
	for _, c := range v1alpha1.Conditions {
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", c.Type, c.Status, strings.ReplaceAll(c.Reason, "*", "any"), c.Means)
	}
	_, err = io.WriteString(w, out.String())
	return err
}

// fields lists what is below a field, depth first, in the order of the names.
func fields(out *strings.Builder, path string, s map[string]any) {
	properties, _, _ := unstructured.NestedMap(s, "properties")
	if items, ok := s["items"].(map[string]any); ok {
		properties, _, _ = unstructured.NestedMap(items, "properties")
		path += "[]"
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		f := properties[name].(map[string]any)
		if path == "status" && name == "conditions" {
			fmt.Fprintf(out, "| `status.conditions` | list |  | See below. |\n")
			continue
		}
		fallback := ""
		if d, has := f["default"]; has {
			text, _ := json.Marshal(d) // what was decoded can be encoded
			fallback = "`" + strings.Trim(string(text), `"`) + "`"
		}
		fmt.Fprintf(out, "| `%s.%s` | %s | %s | %s |\n", path, name, kind(f), fallback, sentence(f))
		fields(out, path+"."+name, f)
	}
}

func kind(f map[string]any) string {
	t, _ := f["type"].(string)
	switch {
	case t == "array":
		return "list"
	case f["enum"] != nil:
		var words []string
		for _, e := range f["enum"].([]any) {
			words = append(words, fmt.Sprint(e))
		}
		return strings.Join(words, ", ")
	case t == "" && f["x-kubernetes-int-or-string"] != nil:
		return "number or string"
	}
	return t
}

func sentence(f map[string]any) string {
	d, _ := f["description"].(string)
	return strings.ReplaceAll(strings.Join(strings.Fields(d), " "), "|", "\\|")
}

// rulesOf are the messages of all rules in and below a field.
func rulesOf(path string, s map[string]any) []string {
	var all []string
	rules, _, _ := unstructured.NestedSlice(s, "x-kubernetes-validations")
	for _, r := range rules {
		message, _ := r.(map[string]any)["message"].(string)
		all = append(all, message)
	}
	properties, _, _ := unstructured.NestedMap(s, "properties")
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		all = append(all, rulesOf(path+"."+name, properties[name].(map[string]any))...)
	}
	if items, ok := s["items"].(map[string]any); ok {
		all = append(all, rulesOf(path+"[]", items)...)
	}
	return all
}
