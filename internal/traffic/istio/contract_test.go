package istio_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/istio"
	"gapless.dev/gapless/internal/traffic/traffictest"
)

const virtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: demo, labels: {team: shop}}
spec:
  hosts: [demo.example]
  gateways: [edge]
  http:
  - name: api
    match: [{uri: {prefix: /api}, headers: {x-tenant: {exact: a}}}]
    timeout: 10s
    route:
    - destination: {host: demo-api, subset: plain, port: {number: 80}}
  - route:
    - destination: {host: web}
      weight: 90
    - destination: {host: demo-api.shop.svc.cluster.local}
      weight: 10
      headers: {request: {set: {x-from: edge}}}
  tcp:
  - match: [{port: 9000}]
    route: [{destination: {host: demo-api, port: {number: 9000}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: demo-api}
spec:
  host: demo-api
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 10}}}
  subsets: [{name: plain, labels: {tier: front}}]
`

func TestContract(t *testing.T) {
	traffictest.Run(t, traffictest.Case{
		Objects: virtualService, Match: true, Users: true, Mirror: true,
		Kind: func(w *traffictest.World) traffic.Kind {
			return istio.VirtualService{Namespace: traffictest.Namespace, Rules: w.List(istio.DestinationRuleKind)}
		},
		Edit: func(o *unstructured.Unstructured) {
			routes, _, _ := unstructured.NestedSlice(o.Object, "spec", "http")
			routes = append(routes, map[string]any{"name": "more", "route": []any{map[string]any{"destination": map[string]any{"host": "demo-api"}}}})
			_ = unstructured.SetNestedSlice(o.Object, routes, "spec", "http")
		},
	})
}
