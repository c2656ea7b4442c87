// Package gatewayapi divides traffic in the routes of the Gateway API: an HTTPRoute or a GRPCRoute, by whatever controller serves them.
//
// The controller says in status.parents which generation of a route it has taken over; that acknowledges a change.
package gatewayapi

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
)

// The kinds.
var (
	HTTPRouteKind    = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}
	GRPCRouteKind    = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "GRPCRoute"}
	GatewayKind      = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"}
	GatewayClassKind = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "GatewayClass"}
)

// A Route divides in spec.rules[].backendRefs.
type Route struct {
	// Kind is HTTPRouteKind or GRPCRouteKind.
	Kind schema.GroupVersionKind
	// Features are what the classes of all its gateways say that they can do.
	Features map[string]bool
}

// GVK of the route.
func (k Route) GVK() schema.GroupVersionKind { return k.Kind }

// Fields that are changed.
func (Route) Fields() [][]string { return [][]string{{"spec", "rules"}} }

// Backends are the backendRefs of each rule.
func (Route) Backends(o *unstructured.Unstructured, visit func(string, []any) []any) {
	rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	for i, raw := range rules {
		rule, _ := raw.(map[string]any)
		if list, has := rule["backendRefs"].([]any); has {
			rule["backendRefs"] = visit(fmt.Sprintf("spec.rules[%d].backendRefs", i), list)
		}
	}
	if len(rules) > 0 {
		_ = unstructured.SetNestedSlice(o.Object, rules, "spec", "rules")
	}
}

// Backend reads a backendRef that leads to a Service of the route's namespace.
func (Route) Backend(entry map[string]any) traffic.Backend {
	b := traffic.Backend{Weight: traffic.Weight(entry, 1)}
	group, _ := entry["group"].(string)
	kind, _ := entry["kind"].(string)
	_, elsewhere := entry["namespace"]
	if group == "" && (kind == "" || kind == "Service") && !elsewhere {
		b.Service, _ = entry["name"].(string)
		b.Port = traffic.Port(entry["port"])
	}
	return b
}

// Rename has a backendRef lead to another Service.
func (Route) Rename(entry map[string]any, service string) { entry["name"] = service }

// Acknowledge reads what every parent says of the present generation.
func (Route) Acknowledge(_ context.Context, o *unstructured.Unstructured, _ traffic.App, _ traffic.Split) (rollout.Grade, string, time.Duration) {
	parents, _, _ := unstructured.NestedSlice(o.Object, "status", "parents")
	if len(parents) == 0 {
		return rollout.NotYet, fmt.Sprintf("no gateway has said anything of %s %s", o.GetKind(), o.GetName()), 0
	}
	for _, raw := range parents {
		parent, _ := raw.(map[string]any)
		gateway, _, _ := unstructured.NestedString(parent, "parentRef", "name")
		if waits := missing(parent, o.GetGeneration()); waits != "" {
			return rollout.NotYet, fmt.Sprintf("gateway %s %s", gateway, waits), 0
		}
	}
	return rollout.Acknowledged, "", 0
}

// missing tells what a parent has not said of a generation. Accepted must be true; references that do not resolve lose requests, too.
func missing(parent map[string]any, generation int64) string {
	conditions, _ := parent["conditions"].([]any)
	accepted := false
	for _, raw := range conditions {
		c, _ := raw.(map[string]any)
		kind, _ := c["type"].(string)
		if kind != "Accepted" && kind != "ResolvedRefs" {
			continue
		}
		observed, _ := c["observedGeneration"].(int64)
		switch {
		case observed < generation:
			return fmt.Sprintf("has not looked at generation %d yet", generation)
		case c["status"] != "True":
			return fmt.Sprintf("says %s is %v: %v: %v", kind, c["status"], c["reason"], c["message"])
		}
		accepted = accepted || kind == "Accepted"
	}
	if !accepted {
		return "has not accepted the route"
	}
	return ""
}
