// Package ingress switches and divides traffic in a plain Ingress of networking.k8s.io.
//
// What an Ingress itself says is which Service gets a path: that is enough for a blue-green with any controller. Weights are annotations of
// single controllers: those of Traefik 1.x in the user's own Ingress, those of ingress-nginx in a second one beside it.
package ingress

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
)

// Kind of an Ingress, and of the class that names its controller.
var (
	Kind      = schema.GroupVersionKind{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"}
	ClassKind = schema.GroupVersionKind{Group: "networking.k8s.io", Version: "v1", Kind: "IngressClass"}
)

// NginxController is what an IngressClass of ingress-nginx names as its controller.
const NginxController = "k8s.io/ingress-nginx"

// Of is how a certain Ingress is divided. controller is what its IngressClass names, if it has one.
func Of(o *unstructured.Unstructured, controller string) traffic.Kind {
	switch {
	case o != nil && o.GetAnnotations()[weights] != "":
		return Traefik1{}
	case controller == NginxController:
		return Nginx{}
	}
	return Plain{}
}

// Plain switches an Ingress of any controller from one Service to the other.
type Plain struct{}

// GVK of an Ingress.
func (Plain) GVK() schema.GroupVersionKind { return Kind }

// Fields that are changed.
func (Plain) Fields() [][]string { return [][]string{{"spec", "rules"}, {"spec", "defaultBackend"}} }

// Backends are the default backend and that of each path, each a list of one.
func (Plain) Backends(o *unstructured.Unstructured, visit func(string, []any) []any) {
	if b, has, _ := unstructured.NestedMap(o.Object, "spec", "defaultBackend"); has {
		_ = unstructured.SetNestedField(o.Object, visit("spec.defaultBackend", []any{b})[0], "spec", "defaultBackend")
	}
	rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	for i, raw := range rules {
		rule, _ := raw.(map[string]any)
		paths, _, _ := unstructured.NestedSlice(rule, "http", "paths")
		for j, raw := range paths {
			path, _ := raw.(map[string]any)
			if b, has := path["backend"]; has {
				path["backend"] = visit(fmt.Sprintf("spec.rules[%d].http.paths[%d].backend", i, j), []any{b})[0]
			}
		}
		if len(paths) > 0 {
			_ = unstructured.SetNestedSlice(rule, paths, "http", "paths")
		}
	}
	if len(rules) > 0 {
		_ = unstructured.SetNestedSlice(o.Object, rules, "spec", "rules")
	}
}

// Backend reads a backend.
func (Plain) Backend(entry map[string]any) traffic.Backend {
	name, _, _ := unstructured.NestedString(entry, "service", "name")
	b := traffic.Backend{Service: name, Weight: 1}
	port, _, _ := unstructured.NestedMap(entry, "service", "port")
	if b.Port = traffic.Port(port["number"]); port["number"] == nil {
		b.Port = traffic.Port(port["name"])
	}
	return b
}

// Rename has a backend be another Service.
func (Plain) Rename(entry map[string]any, service string) {
	_ = unstructured.SetNestedField(entry, service, "service", "name")
}

// Weigh gives a Service everything: an Ingress knows nothing in between.
func (k Plain) Weigh(o *unstructured.Unstructured, app traffic.App, twins int) error {
	if twins < 100 {
		return cannot(o)
	}
	k.Backends(o, func(_ string, list []any) []any {
		if b, _ := list[0].(map[string]any); app.Service(k.Backend(b).Service) != nil {
			k.Rename(b, traffic.TwinOf(k.Backend(b).Service))
		}
		return list
	})
	return nil
}

// Share is 0 or 100.
func (k Plain) Share(o *unstructured.Unstructured, app traffic.App) (percent int, agree bool) {
	theirs, twins := 0, 0
	k.Backends(o.DeepCopy(), func(_ string, list []any) []any {
		b, _ := list[0].(map[string]any)
		switch name := k.Backend(b).Service; {
		case app.Service(name) != nil:
			theirs++
		case app.IsTwin(name):
			twins++
		}
		return list
	})
	if twins > 0 {
		percent = 100
	}
	return percent, theirs == 0 || twins == 0
}

// Check refuses shares.
func (Plain) Check(found *unstructured.Unstructured, _ traffic.App, plan rollout.Plan) error {
	if plan.Strategy != rollout.Canary {
		return nil
	}
	return cannot(found)
}

func cannot(o *unstructured.Unstructured) error {
	return &traffic.Problem{Reason: traffic.ReasonRouteCannot, Text: fmt.Sprintf(
		"spec.strategy.canary: Ingress %s sends a path to one Service and knows no weights; use blueGreen, an Ingress of the class of ingress-nginx, "+
			"one with the annotation %s (Traefik 1.x), or another router", o.GetName(), weights)}
}
