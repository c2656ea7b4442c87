package routers_test

import (
	"gapless.dev/gapless/api/v1alpha1"
)

// A way is a router by which Traefik is told.
type way struct {
	name    string
	objects string
	traffic func(e *edge) *v1alpha1.Traffic
}

// gateway is where the routes of the Gateway API come in.
const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: traefik
  listeners: [{name: web, protocol: HTTP, port: PORT}]
---
`

// The ways. Each has a second path to the same Service.
var (
	ingressRoute = way{
		name: "IngressRoute",
		objects: `
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: demo, labels: {team: shop}}
spec:
  entryPoints: [web]
  routes:
  - {match: PathPrefix(` + "`/`" + `), kind: Rule, services: [{name: demo-api, port: 80}]}
  - {match: PathPrefix(` + "`/v1`" + `), kind: Rule, services: [{name: demo-api, port: 80}]}
`,
		traffic: func(e *edge) *v1alpha1.Traffic {
			return &v1alpha1.Traffic{Traefik: &v1alpha1.TraefikRoute{IngressRoute: "demo", API: e.api}}
		},
	}
	traefikService = way{
		name: "TraefikService",
		objects: `
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: demo}
spec: {weighted: {services: [{name: demo-api, port: 80}]}}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: edge}
spec:
  entryPoints: [web]
  routes:
  - {match: PathPrefix(` + "`/`" + `), kind: Rule, services: [{name: demo, kind: TraefikService}]}
`,
		traffic: func(e *edge) *v1alpha1.Traffic {
			return &v1alpha1.Traffic{Traefik: &v1alpha1.TraefikRoute{TraefikService: "demo", API: e.api}}
		},
	}
	httpRoute = way{
		name: "HTTPRoute",
		objects: gateway + `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: demo, labels: {team: shop}}
spec:
  parentRefs: [{name: edge}]
  rules:
  - {matches: [{path: {type: PathPrefix, value: /}}], backendRefs: [{name: demo-api, port: 80}]}
  - {matches: [{path: {type: PathPrefix, value: /v1}}], backendRefs: [{name: demo-api, port: 80}]}
`,
		traffic: func(*edge) *v1alpha1.Traffic {
			return &v1alpha1.Traffic{GatewayAPI: &v1alpha1.GatewayRoute{HTTPRoute: "demo"}}
		},
	}
	grpcRoute = way{
		name: "GRPCRoute",
		objects: gateway + `apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: demo}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: demo-api, port: 9000}]}]
`,
		traffic: func(*edge) *v1alpha1.Traffic {
			return &v1alpha1.Traffic{GatewayAPI: &v1alpha1.GatewayRoute{GRPCRoute: "demo"}}
		},
	}
	ingress = way{
		name: "Ingress",
		objects: `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: demo}
spec:
  ingressClassName: edge
  rules:
  - http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: demo-api, port: {number: 80}}}}]}
`,
		traffic: func(*edge) *v1alpha1.Traffic { return &v1alpha1.Traffic{Ingress: "demo"} },
	}
	traefik1 = way{
		name: "Ingress of Traefik 1.x",
		objects: `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: demo
  annotations: {traefik.ingress.kubernetes.io/service-weights: "demo-api: 100%"}
spec:
  ingressClassName: edge
  rules:
  - http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: demo-api, port: {number: 80}}}}]}
`,
		traffic: func(*edge) *v1alpha1.Traffic { return &v1alpha1.Traffic{Ingress: "demo"} },
	}
	nginx = way{
		name: "Ingress of ingress-nginx",
		objects: `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: demo}
spec:
  ingressClassName: nginx
  rules:
  - http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: demo-api, port: {number: 80}}}}]}
`,
		traffic: func(*edge) *v1alpha1.Traffic { return &v1alpha1.Traffic{Ingress: "demo"} },
	}
)
