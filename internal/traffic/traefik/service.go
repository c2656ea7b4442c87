package traefik

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
)

// TraefikService divides in spec.weighted.services.
type TraefikService struct {
	// API asks Traefik whether it has what was written; nil: nobody is asked.
	API *API
	// Routes are the IngressRoutes of the namespace. Those that name the TraefikService get a fallback.
	Routes []*unstructured.Unstructured
}

// GVK of a TraefikService.
func (TraefikService) GVK() schema.GroupVersionKind { return TraefikServiceKind }

// Fields that are changed.
func (TraefikService) Fields() [][]string { return [][]string{{"spec", "weighted"}} }

// Backends are the services of the weighted one.
func (TraefikService) Backends(o *unstructured.Unstructured, visit func(string, []any) []any) {
	list, has, _ := unstructured.NestedSlice(o.Object, "spec", "weighted", "services")
	if has {
		_ = unstructured.SetNestedSlice(o.Object, visit("spec.weighted.services", list), "spec", "weighted", "services")
	}
}

// Backend reads an entry that leads to a Service of the namespace.
func (TraefikService) Backend(entry map[string]any) traffic.Backend { return backend(entry) }

// Rename has an entry lead to another Service.
func (TraefikService) Rename(entry map[string]any, service string) { entry["name"] = service }

// Stick sets the cookie of the weighted service.
func (k TraefikService) Stick(o *unstructured.Unstructured, app traffic.App, users int) error {
	k.Backends(o, func(_ string, list []any) []any { return traffic.WeighList(k, app, list, users) })
	return unstructured.SetNestedMap(o.Object, sticky(app), "spec", "weighted", "sticky")
}

// Strip takes the cookie out.
func (TraefikService) Strip(o, _ *unstructured.Unstructured, _ traffic.App, wrote traffic.Split) {
	if wrote.Match != nil && wrote.Match.Users > 0 {
		unstructured.RemoveNestedField(o.Object, "spec", "weighted", "sticky")
	}
}

// Check refuses kinds of TraefikServices that cannot be divided, and users where they are kept in another way already.
func (TraefikService) Check(found *unstructured.Unstructured, _ traffic.App, plan rollout.Plan) error {
	if _, has, _ := unstructured.NestedMap(found.Object, "spec", "weighted", "sticky"); !has {
		return nil
	}
	for i, s := range plan.Steps {
		if s.Match != nil && s.Match.Users > 0 {
			return &traffic.Problem{Reason: traffic.ReasonRouteCannot, Text: fmt.Sprintf(
				"spec.strategy.canary.steps[%d].match.users: TraefikService %s has a sticky cookie of its own; use weight, which then counts users", i, found.GetName())}
		}
	}
	return nil
}

// Companions are IngressRoutes and TraefikServices.
func (TraefikService) Companions() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{IngressRouteKind, TraefikServiceKind}
}

// Beside is the TraefikService as the user wrote it, and for each IngressRoute that names it a fallback to that.
func (k TraefikService) Beside(found *unstructured.Unstructured, _ traffic.App, _ traffic.Split) ([]*unstructured.Unstructured, error) {
	plain := companion(TraefikServiceKind, found, "fallback")
	spec, _, _ := unstructured.NestedMap(found.Object, "spec")
	plain.Object["spec"] = spec
	all := []*unstructured.Unstructured{plain}
	for _, r := range k.Routes {
		if r.GetLabels()[managedBy] == "gapless" {
			continue
		}
		if o := lowered(r, found.GetName(), plain.GetName()); o != nil {
			all = append(all, o)
		}
	}
	return all, nil
}

const managedBy = "app.kubernetes.io/managed-by"

// lowered is an IngressRoute with those routes that name one TraefikService leading to another, one lower in priority.
func lowered(r *unstructured.Unstructured, from, to string) *unstructured.Unstructured {
	o := companion(IngressRouteKind, r, "fallback")
	spec, _, _ := unstructured.NestedMap(r.Object, "spec")
	routes, _ := spec["routes"].([]any)
	var out []any
	for _, raw := range routes {
		route, _ := raw.(map[string]any)
		services, _ := route["services"].([]any)
		names := false
		for _, rawService := range services {
			if s, _ := rawService.(map[string]any); s["kind"] == "TraefikService" && s["name"] == from {
				s["name"], names = to, true
			}
		}
		if names {
			route["priority"] = priority(route, -1)
			out = append(out, route)
		}
	}
	if len(out) == 0 {
		return nil
	}
	spec["routes"] = out
	o.Object["spec"] = spec
	return o
}
