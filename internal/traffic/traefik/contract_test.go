package traefik_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/traefik"
	"gapless.dev/gapless/internal/traffic/traffictest"
)

const ingressRoute = `
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata:
  name: demo
  labels: {team: shop}
  annotations: {kubernetes.io/ingress.class: edge}
spec:
  entryPoints: [web]
  routes:
  - match: Host(` + "`demo.example`" + `) && PathPrefix(` + "`/api`" + `)
    kind: Rule
    middlewares: [{name: strip}]
    services:
    - {name: demo-api, port: 80, passHostHeader: true, sticky: {cookie: {name: pod}}}
  - match: Host(` + "`demo.example`" + `)
    kind: Rule
    priority: 10
    services:
    - {name: web, port: 80, weight: 9}
    - {name: demo-api, port: http, weight: 1}
  - match: Host(` + "`other.example`" + `)
    kind: Rule
    services: [{name: web, port: 80}]
`

func TestContract_IngressRoute(t *testing.T) {
	traffictest.Run(t, traffictest.Case{
		Objects: ingressRoute, Match: true, Users: true, Mirror: true,
		Kind: func(*traffictest.World) traffic.Kind { return traefik.IngressRoute{} },
		Edit: func(o *unstructured.Unstructured) {
			routes, _, _ := unstructured.NestedSlice(o.Object, "spec", "routes")
			routes = append(routes, map[string]any{
				"match": "Host(`new.example`)", "kind": "Rule", "services": []any{map[string]any{"name": "demo-api", "port": int64(80)}},
			})
			_ = unstructured.SetNestedSlice(o.Object, routes, "spec", "routes")
		},
	})
}

const traefikService = `
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: demo}
spec:
  weighted:
    services:
    - {name: demo-api, port: 80}
    - {name: web, port: 80, weight: 3}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: edge}
spec:
  routes:
  - match: PathPrefix(` + "`/`" + `)
    kind: Rule
    services: [{name: demo, kind: TraefikService}]
`

func TestContract_TraefikService(t *testing.T) {
	traffictest.Run(t, traffictest.Case{
		Objects: traefikService, Users: true,
		Kind: func(w *traffictest.World) traffic.Kind {
			return traefik.TraefikService{Routes: w.List(traefik.IngressRouteKind)}
		},
		Edit: func(o *unstructured.Unstructured) {
			list, _, _ := unstructured.NestedSlice(o.Object, "spec", "weighted", "services")
			_ = unstructured.SetNestedSlice(o.Object, append(list, map[string]any{"name": "more", "port": int64(80)}), "spec", "weighted", "services")
		},
	})
}
