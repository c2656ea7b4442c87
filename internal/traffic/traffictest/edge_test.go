package traffictest_test

import (
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/traffictest"
)

// Route is the router of the guide "Write a router".
type Route struct{}

func (Route) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "edge.example", Version: "v1", Kind: "Route"}
}

// Fields that are changed. All else of the object stays as its user wrote it.
func (Route) Fields() [][]string { return [][]string{{"spec", "backends"}} }

// Backends visits each list of backends. The path is for error messages.
func (Route) Backends(o *unstructured.Unstructured, visit func(string, []any) []any) {
	list, _, _ := unstructured.NestedSlice(o.Object, "spec", "backends")
	_ = unstructured.SetNestedSlice(o.Object, visit("spec.backends", list), "spec", "backends")
}

// Backend reads an entry. One that leads to no Service of the namespace has no name.
func (Route) Backend(entry map[string]any) traffic.Backend {
	name, _ := entry["name"].(string)
	return traffic.Backend{Service: name, Port: traffic.Port(entry["port"]), Weight: traffic.Weight(entry, 1)}
}

// Rename has an entry lead to another Service.
func (Route) Rename(entry map[string]any, service string) { entry["name"] = service }

// TestGuide_ItsRouterKeepsTheContract: the router in the guide is the one here, and it is whole.
func TestGuide_ItsRouterKeepsTheContract(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/guide/write-a-router.md")
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.ReadFile("edge_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(guide), "```go\n")
	if code, _, _ = strings.Cut(code, "```"); !strings.Contains(string(here), code) {
		t.Error("the guide's code is another one")
	}
	traffictest.Run(t, traffictest.Case{
		Objects: `
apiVersion: edge.example/v1
kind: Route
metadata: {name: demo}
spec: {backends: [{name: web, port: 80, weight: 3}, {name: demo-api, port: 80}]}
`,
		Kind: func(*traffictest.World) traffic.Kind { return Route{} },
	})
}
