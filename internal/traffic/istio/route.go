// Package istio divides traffic in a VirtualService: in its http, tls and tcp routes.
//
// Both sides are hosts of their own, so a destination keeps all else that the user wrote of it. Where a DestinationRule holds policies or
// subsets of the user's host, the twin's host gets a copy, so that they hold there, too.
package istio

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gapless.dev/gapless/internal/traffic"
)

// The kinds.
var (
	VirtualServiceKind  = schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "VirtualService"}
	DestinationRuleKind = schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "DestinationRule"}
)

// A VirtualService divides in spec.http[].route, spec.tls[].route and spec.tcp[].route.
type VirtualService struct {
	// Namespace of the route.
	Namespace string
	// Rules are the DestinationRules of the namespace.
	Rules []*unstructured.Unstructured
}

// GVK of a VirtualService.
func (VirtualService) GVK() schema.GroupVersionKind { return VirtualServiceKind }

var protocols = []string{"http", "tls", "tcp"}

// Fields that are changed.
func (VirtualService) Fields() [][]string {
	return [][]string{{"spec", "http"}, {"spec", "tls"}, {"spec", "tcp"}}
}

// Backends are the destinations of each route.
func (VirtualService) Backends(o *unstructured.Unstructured, visit func(string, []any) []any) {
	for _, p := range protocols {
		routes, _, _ := unstructured.NestedSlice(o.Object, "spec", p)
		for i, raw := range routes {
			route, _ := raw.(map[string]any)
			if list, has := route["route"].([]any); has {
				route["route"] = visit(fmt.Sprintf("spec.%s[%d].route", p, i), list)
			}
		}
		if len(routes) > 0 {
			_ = unstructured.SetNestedSlice(o.Object, routes, "spec", p)
		}
	}
}

// Backend reads the destination of an entry.
func (k VirtualService) Backend(entry map[string]any) traffic.Backend {
	host, _, _ := unstructured.NestedString(entry, "destination", "host")
	port, _, _ := unstructured.NestedFieldNoCopy(entry, "destination", "port", "number")
	return traffic.Backend{Service: k.service(host), Port: traffic.Port(port), Weight: traffic.Weight(entry, 1)}
}

// service is the Service of the namespace that a host names by its short or its full name, or "".
func (k VirtualService) service(host string) string {
	name, domain, full := strings.Cut(host, ".")
	if namespace, _, _ := strings.Cut(domain, "."); full && namespace != k.Namespace {
		return ""
	}
	return name
}

// Rename has the destination be another host.
func (VirtualService) Rename(entry map[string]any, service string) {
	destination, _ := entry["destination"].(map[string]any)
	destination["host"] = renamed(destination["host"], service)
}

func renamed(host any, service string) string {
	text, _ := host.(string)
	if _, domain, full := strings.Cut(text, "."); full {
		return service + "." + domain
	}
	return service
}

// Companions are DestinationRules.
func (VirtualService) Companions() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{DestinationRuleKind}
}

// Beside are copies of the DestinationRules of the user's hosts for the twins' hosts.
func (k VirtualService) Beside(found *unstructured.Unstructured, app traffic.App, _ traffic.Split) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, rule := range k.Rules {
		host, _, _ := unstructured.NestedString(rule.Object, "spec", "host")
		name := k.service(host)
		if rule.GetLabels()["app.kubernetes.io/managed-by"] == "gapless" || app.Service(name) == nil {
			continue
		}
		spec, _, _ := unstructured.NestedMap(rule.Object, "spec")
		spec["host"] = renamed(host, traffic.TwinOf(name))
		o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		o.SetGroupVersionKind(DestinationRuleKind)
		o.SetNamespace(found.GetNamespace())
		o.SetName(rule.GetName() + "-gapless")
		all = append(all, o)
	}
	return all, nil
}

func (k VirtualService) names(route map[string]any, app traffic.App) bool {
	list, _ := route["route"].([]any)
	return slices.ContainsFunc(list, func(raw any) bool {
		entry, _ := raw.(map[string]any)
		return app.Service(k.Backend(entry).Service) != nil
	})
}

// eachHTTP puts in the place of every http route that names the app what change returns.
func (k VirtualService) eachHTTP(o *unstructured.Unstructured, app traffic.App, change func(route map[string]any) []any) error {
	routes, _, _ := unstructured.NestedSlice(o.Object, "spec", "http")
	var out []any
	for _, raw := range routes {
		route, _ := raw.(map[string]any)
		if k.names(route, app) {
			out = append(out, change(runtime.DeepCopyJSON(route))...)
			continue
		}
		out = append(out, raw)
	}
	if len(out) == 0 {
		return nil
	}
	return unstructured.SetNestedSlice(o.Object, out, "spec", "http")
}
