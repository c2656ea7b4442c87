// Package traefik divides traffic in the objects of Traefik v3: an IngressRoute, or a TraefikService that IngressRoutes name.
//
// A Service without a ready pod takes the whole route that names it out of Traefik, unless Traefik is told allowEmptyServices. So while a
// twin is named, a second IngressRoute of ours leads to the user's own Services with a priority that is one lower: Traefik falls back
// on it by itself, in the moment in which the twin's last pod goes.
package traefik

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
)

// The kinds.
var (
	IngressRouteKind   = schema.GroupVersionKind{Group: "traefik.io", Version: "v1alpha1", Kind: "IngressRoute"}
	TraefikServiceKind = schema.GroupVersionKind{Group: "traefik.io", Version: "v1alpha1", Kind: "TraefikService"}
)

// IngressRoute divides in spec.routes[].services.
type IngressRoute struct {
	// API asks Traefik whether it has what was written; nil: nobody is asked.
	API *API
}

// GVK of an IngressRoute.
func (IngressRoute) GVK() schema.GroupVersionKind { return IngressRouteKind }

// Fields that are changed.
func (IngressRoute) Fields() [][]string { return [][]string{{"spec", "routes"}} }

// Backends are the services of each route.
func (IngressRoute) Backends(o *unstructured.Unstructured, visit func(string, []any) []any) {
	routes, _, _ := unstructured.NestedSlice(o.Object, "spec", "routes")
	for i, raw := range routes {
		route, is := raw.(map[string]any)
		if !is {
			continue
		}
		if list, has := route["services"].([]any); has {
			route["services"] = visit(fmt.Sprintf("spec.routes[%d].services", i), list)
		}
	}
	if len(routes) > 0 {
		_ = unstructured.SetNestedSlice(o.Object, routes, "spec", "routes")
	}
}

// Backend reads an entry that leads to a Service of the namespace.
func (IngressRoute) Backend(entry map[string]any) traffic.Backend { return backend(entry) }

func backend(entry map[string]any) traffic.Backend {
	if kind, _ := entry["kind"].(string); kind != "" && kind != "Service" {
		return traffic.Backend{Weight: traffic.Weight(entry, 1)}
	}
	if _, elsewhere := entry["namespace"]; elsewhere {
		return traffic.Backend{Weight: traffic.Weight(entry, 1)}
	}
	name, _ := entry["name"].(string)
	return traffic.Backend{Service: name, Port: traffic.Port(entry["port"]), Weight: traffic.Weight(entry, 1)}
}

// Rename has an entry lead to another Service.
func (IngressRoute) Rename(entry map[string]any, service string) { entry["name"] = service }

// Match is done by an IngressRoute beside this one.
func (IngressRoute) Match(*unstructured.Unstructured, traffic.App, rollout.Match) error { return nil }

// Mirror is done by an IngressRoute beside this one.
func (IngressRoute) Mirror(*unstructured.Unstructured, traffic.App, int, bool) error { return nil }

// Stick has each list of services led through a TraefikService beside the route, which keeps users by a cookie.
func (k IngressRoute) Stick(o *unstructured.Unstructured, app traffic.App, _ int) error {
	n := 0
	k.Backends(o, func(_ string, list []any) []any {
		if !named(list, app) {
			return list
		}
		n++
		return []any{map[string]any{"kind": "TraefikService", "name": usersName(o, n)}}
	})
	return nil
}

// Strip puts the services back that were led through a TraefikService of ours.
func (k IngressRoute) Strip(o, found *unstructured.Unstructured, app traffic.App, wrote traffic.Split) {
	if wrote.Match == nil || wrote.Match.Users == 0 {
		return
	}
	before := map[string][]any{}
	k.Backends(found.DeepCopy(), func(_ string, list []any) []any {
		if named(list, app) {
			before[usersName(o, len(before)+1)] = list
		}
		return list
	})
	k.Backends(o, func(_ string, list []any) []any {
		if len(list) != 1 {
			return list
		}
		if entry, _ := list[0].(map[string]any); entry["kind"] == "TraefikService" {
			if name, _ := entry["name"].(string); before[name] != nil {
				return before[name]
			}
		}
		return list
	})
}

func named(list []any, app traffic.App) bool {
	for _, raw := range list {
		entry, _ := raw.(map[string]any)
		if app.Service(backend(entry).Service) != nil {
			return true
		}
	}
	return false
}

// Companions are IngressRoutes and TraefikServices.
func (IngressRoute) Companions() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{IngressRouteKind, TraefikServiceKind}
}

// Beside are the fallback, and what matches, mirrors and keeps users need.
func (k IngressRoute) Beside(found *unstructured.Unstructured, app traffic.App, s traffic.Split) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	if s.Match != nil && s.Match.Users > 0 {
		all = append(all, k.users(found, app, s.Match.Users)...)
	} else if s.Match != nil {
		all = append(all, k.matching(found, app, *s.Match))
	}
	if s.Mirror > 0 {
		all = append(all, k.mirroring(found, app, s)...)
	}
	if s.Twins > 0 || s.Match != nil && s.Match.Users > 0 {
		all = append(all, k.fallback(found, app))
	}
	return all, nil
}

// fallback has the user's own routes once more, with a priority that is one lower.
func (k IngressRoute) fallback(found *unstructured.Unstructured, app traffic.App) *unstructured.Unstructured {
	return k.beside(found, app, "fallback", -1, func(route map[string]any) {})
}

// beside is an IngressRoute with those routes of the user's one that name the app, changed. above is by how much its priority exceeds theirs.
func (k IngressRoute) beside(found *unstructured.Unstructured, app traffic.App, suffix string, above int64, change func(route map[string]any)) *unstructured.Unstructured {
	o := companion(IngressRouteKind, found, suffix)
	spec, _, _ := unstructured.NestedMap(found.Object, "spec")
	routes, _ := spec["routes"].([]any)
	var out []any
	for _, raw := range routes {
		route, is := raw.(map[string]any)
		services, _ := route["services"].([]any)
		if !is || !named(services, app) {
			continue
		}
		route["priority"] = priority(route, above)
		change(route)
		out = append(out, route)
	}
	spec["routes"] = out
	o.Object["spec"] = spec
	return o
}

// priority of a route, as Traefik has it: the length of its rule unless it is set. 0 would be taken for unset.
func priority(route map[string]any, above int64) int64 {
	p, _ := route["priority"].(int64)
	if p == 0 {
		rule, _ := route["match"].(string)
		p = int64(len(rule))
	}
	if p += above; p == 0 {
		p += above
	}
	return p
}

func companion(kind schema.GroupVersionKind, of *unstructured.Unstructured, suffix string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetGroupVersionKind(kind)
	o.SetNamespace(of.GetNamespace())
	o.SetName(of.GetName() + "-gapless-" + suffix)
	// Which of several Traefiks serves an IngressRoute is said by this annotation, too.
	if class, has := of.GetAnnotations()["kubernetes.io/ingress.class"]; has {
		o.SetAnnotations(map[string]string{"kubernetes.io/ingress.class": class})
	}
	return o
}

func usersName(of *unstructured.Unstructured, n int) string {
	return fmt.Sprintf("%s-gapless-users-%d", of.GetName(), n)
}
