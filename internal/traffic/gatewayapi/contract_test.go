package gatewayapi_test

import (
	"maps"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/gatewayapi"
	"gapless.dev/gapless/internal/traffic/traffictest"
)

const httpRoute = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: demo, labels: {team: shop}}
spec:
  parentRefs: [{name: edge}]
  hostnames: [demo.example]
  rules:
  - matches:
    - path: {type: PathPrefix, value: /api}
    - path: {type: PathPrefix, value: /write}
      method: POST
    filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: X-A, value: b}]}}]
    backendRefs:
    - {group: "", kind: Service, name: demo-api, port: 80, weight: 1}
    timeouts: {request: 10s}
  - name: rest
    matches: [{path: {type: PathPrefix, value: /}}]
    backendRefs:
    - {group: "", kind: Service, name: web, port: 80, weight: 9}
    - {group: "", kind: Service, name: demo-api, port: 80, weight: 1}
`

// gateway accepts a generation after it was looked at once.
func gateway(w *traffictest.World) {
	o := w.Route()
	at, _, _ := unstructured.NestedInt64(o.Object, "metadata", "generation")
	accepted := map[string]any{"type": "Accepted", "status": "True", "reason": "Accepted", "observedGeneration": at}
	parents := []any{map[string]any{"parentRef": map[string]any{"name": "edge"}, "conditions": []any{accepted}}}
	if now, _, _ := unstructured.NestedSlice(o.Object, "status", "parents"); len(now) > 0 {
		return
	}
	if err := unstructured.SetNestedSlice(o.Object, parents, "status", "parents"); err != nil {
		w.Fatal(err)
	}
	if err := w.Client.Update(w.Context(), o); err != nil {
		w.Fatal(err)
	}
}

func kind(w *traffictest.World) traffic.Kind {
	return gatewayapi.Route{Kind: w.Route().GroupVersionKind(), Features: map[string]bool{"HTTPRouteRequestMirror": true, "HTTPRouteRequestPercentageMirror": true}}
}

func edit(o *unstructured.Unstructured) {
	rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	more := maps.Clone(rules[len(rules)-1].(map[string]any))
	more["name"] = "more"
	more["backendRefs"] = []any{map[string]any{"group": "", "kind": "Service", "name": "demo-api", "port": int64(80), "weight": int64(1)}}
	_ = unstructured.SetNestedSlice(o.Object, append(rules, more), "spec", "rules")
}

func TestContract_HTTPRoute(t *testing.T) {
	traffictest.Run(t, traffictest.Case{Objects: httpRoute, Match: true, Mirror: true, Kind: kind, Plane: gateway, Edit: edit})
}

const grpcRoute = `
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: demo}
spec:
  parentRefs: [{name: edge}]
  rules:
  - backendRefs: [{group: "", kind: Service, name: demo-api, port: 9000, weight: 1}]
  - matches: [{method: {type: Exact, service: shop.Orders}}]
    backendRefs: [{group: "", kind: Service, name: demo-api, port: 9000, weight: 1}]
`

func TestContract_GRPCRoute(t *testing.T) {
	traffictest.Run(t, traffictest.Case{Objects: grpcRoute, Match: true, Kind: kind, Plane: gateway, Edit: edit})
}
