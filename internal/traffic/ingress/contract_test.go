package ingress_test

import (
	"fmt"
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/ingress"
	"gapless.dev/gapless/internal/traffic/traffictest"
)

// demo is an Ingress with a path for the app, one for another app, and a host for both.
const demo = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: demo, labels: {team: shop}, annotations: {%s}}
spec:
  ingressClassName: edge
  rules:
  - host: demo.example
    http:
      paths:
      - {path: /v1, pathType: Prefix, backend: {service: {name: demo-api, port: {number: 80}}}}
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
  - host: api.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: demo-api, port: {name: http}}}}
`

func edit(o *unstructured.Unstructured) {
	rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	rules = append(rules, map[string]any{"host": "new.example", "http": map[string]any{"paths": []any{map[string]any{
		"path": "/", "pathType": "Prefix", "backend": map[string]any{"service": map[string]any{"name": "demo-api", "port": map[string]any{"number": int64(80)}}},
	}}}})
	_ = unstructured.SetNestedSlice(o.Object, rules, "spec", "rules")
}

func TestContract_Plain(t *testing.T) {
	traffictest.Run(t, traffictest.Case{
		Objects: fmt.Sprintf(demo, ""), Switches: true, Edit: edit,
		Kind: func(w *traffictest.World) traffic.Kind { return ingress.Of(w.Route(), "") },
	})
}

func TestContract_Traefik1(t *testing.T) {
	traffictest.Run(t, traffictest.Case{
		Objects: fmt.Sprintf(demo, `traefik.ingress.kubernetes.io/service-weights: "demo-api: 100%\n"`), Edit: edit,
		Kind: func(w *traffictest.World) traffic.Kind { return ingress.Of(w.Route(), "") },
	})
}

func TestContract_Nginx(t *testing.T) {
	traffictest.Run(t, traffictest.Case{
		Objects: fmt.Sprintf(demo, ""), Match: true, Edit: edit,
		Kind: func(w *traffictest.World) traffic.Kind { return ingress.Of(w.Route(), ingress.NginxController) },
		Share: func(w *traffictest.World) int {
			for _, o := range w.List(ingress.Kind) {
				if text, has := o.GetAnnotations()["nginx.ingress.kubernetes.io/canary-weight"]; has {
					n, _ := strconv.Atoi(text)
					return n
				}
			}
			return 0
		},
	})
}
