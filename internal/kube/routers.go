package kube

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/gatewayapi"
	"gapless.dev/gapless/internal/traffic/ingress"
	"gapless.dev/gapless/internal/traffic/istio"
	"gapless.dev/gapless/internal/traffic/traefik"
)

// A routed is one kind of route object that spec.traffic can name.
type routed struct {
	// field of the Rollout that names it, and the name it has there, or "".
	field string
	name  func(*v1alpha1.Traffic) string
	// call makes the Traffic that names an object.
	call func(name string) *v1alpha1.Traffic
	kind schema.GroupVersionKind
	// installs says where the definition of the kind comes from.
	installs string
	// open makes what knows how the object is divided; o is nil where there is none.
	open func(ctx context.Context, a *App, t *v1alpha1.Traffic, o *unstructured.Unstructured) (traffic.Kind, error)
}

// routers are all that there are. Without spec.traffic the Services themselves divide traffic.
var routers = []routed{
	{
		field: "spec.traffic.traefik.ingressRoute", kind: traefik.IngressRouteKind, installs: "Traefik's definitions",
		name: func(t *v1alpha1.Traffic) string { return given(t.Traefik).IngressRoute },
		call: func(name string) *v1alpha1.Traffic {
			return &v1alpha1.Traffic{Traefik: &v1alpha1.TraefikRoute{IngressRoute: name}}
		},
		open: func(_ context.Context, _ *App, t *v1alpha1.Traffic, _ *unstructured.Unstructured) (traffic.Kind, error) {
			return traefik.IngressRoute{API: apiOf(t)}, nil
		},
	},
	{
		field: "spec.traffic.traefik.traefikService", kind: traefik.TraefikServiceKind, installs: "Traefik's definitions",
		name: func(t *v1alpha1.Traffic) string { return given(t.Traefik).TraefikService },
		call: func(name string) *v1alpha1.Traffic {
			return &v1alpha1.Traffic{Traefik: &v1alpha1.TraefikRoute{TraefikService: name}}
		},
		open: func(ctx context.Context, a *App, t *v1alpha1.Traffic, _ *unstructured.Unstructured) (traffic.Kind, error) {
			routes, err := a.list(ctx, traefik.IngressRouteKind)
			return traefik.TraefikService{API: apiOf(t), Routes: routes}, err
		},
	},
	{
		field: "spec.traffic.gatewayAPI.httpRoute", kind: gatewayapi.HTTPRouteKind, installs: "the Gateway API",
		name: func(t *v1alpha1.Traffic) string { return given(t.GatewayAPI).HTTPRoute },
		call: func(name string) *v1alpha1.Traffic {
			return &v1alpha1.Traffic{GatewayAPI: &v1alpha1.GatewayRoute{HTTPRoute: name}}
		},
		open: func(ctx context.Context, a *App, _ *v1alpha1.Traffic, o *unstructured.Unstructured) (traffic.Kind, error) {
			return gatewayapi.Route{Kind: gatewayapi.HTTPRouteKind, Features: a.features(ctx, o)}, nil
		},
	},
	{
		field: "spec.traffic.gatewayAPI.grpcRoute", kind: gatewayapi.GRPCRouteKind, installs: "the Gateway API",
		name: func(t *v1alpha1.Traffic) string { return given(t.GatewayAPI).GRPCRoute },
		call: func(name string) *v1alpha1.Traffic {
			return &v1alpha1.Traffic{GatewayAPI: &v1alpha1.GatewayRoute{GRPCRoute: name}}
		},
		open: func(ctx context.Context, a *App, _ *v1alpha1.Traffic, o *unstructured.Unstructured) (traffic.Kind, error) {
			return gatewayapi.Route{Kind: gatewayapi.GRPCRouteKind, Features: a.features(ctx, o)}, nil
		},
	},
	{
		field: "spec.traffic.istio.virtualService", kind: istio.VirtualServiceKind, installs: "Istio's definitions",
		name: func(t *v1alpha1.Traffic) string { return given(t.Istio).VirtualService },
		call: func(name string) *v1alpha1.Traffic {
			return &v1alpha1.Traffic{Istio: &v1alpha1.IstioRoute{VirtualService: name}}
		},
		open: func(ctx context.Context, a *App, _ *v1alpha1.Traffic, _ *unstructured.Unstructured) (traffic.Kind, error) {
			rules, err := a.list(ctx, istio.DestinationRuleKind)
			return istio.VirtualService{Namespace: a.Key.Namespace, Rules: rules}, err
		},
	},
	{
		field: "spec.traffic.ingress", kind: ingress.Kind, installs: "Kubernetes 1.19",
		name: func(t *v1alpha1.Traffic) string { return t.Ingress },
		call: func(name string) *v1alpha1.Traffic { return &v1alpha1.Traffic{Ingress: name} },
		open: func(ctx context.Context, a *App, _ *v1alpha1.Traffic, o *unstructured.Unstructured) (traffic.Kind, error) {
			return ingress.Of(o, a.ingressController(ctx, o)), nil
		},
	},
}

// given is what a pointer points to, or nothing.
func given[T any](p *T) T {
	if p == nil {
		p = new(T)
	}
	return *p
}

func apiOf(t *v1alpha1.Traffic) *traefik.API {
	if t.Traefik == nil || t.Traefik.API == "" {
		return nil
	}
	return &traefik.API{URL: t.Traefik.API}
}

// routerOf is what a Traffic names, and its name.
func routerOf(t *v1alpha1.Traffic) (routed, string, error) {
	for _, r := range routers {
		if name := r.name(t); name != "" {
			return r, name, nil
		}
	}
	return routed{}, "", fmt.Errorf("spec.traffic names no router")
}

// features are what the classes of all gateways of a route say that they can do. They change rarely and are read once for each set of parents.
func (a *App) features(ctx context.Context, route *unstructured.Unstructured) map[string]bool {
	if route == nil {
		return nil
	}
	parents, _, _ := unstructured.NestedSlice(route.Object, "spec", "parentRefs")
	return a.remember("features "+fmt.Sprint(parents), func() map[string]bool {
		var common map[string]bool
		for _, raw := range parents {
			parent, _ := raw.(map[string]any)
			name, _ := parent["name"].(string)
			namespace, _ := parent["namespace"].(string)
			if namespace == "" {
				namespace = route.GetNamespace()
			}
			of := a.classFeatures(ctx, namespace, name)
			if common == nil {
				common = of
			}
			for f := range common {
				if !of[f] {
					delete(common, f)
				}
			}
		}
		return common
	})
}

func (a *App) classFeatures(ctx context.Context, namespace, gateway string) map[string]bool {
	found := map[string]bool{}
	g, err := a.get(ctx, gatewayapi.GatewayKind, namespace, gateway)
	if err != nil {
		return found
	}
	name, _, _ := unstructured.NestedString(g.Object, "spec", "gatewayClassName")
	class, err := a.get(ctx, gatewayapi.GatewayClassKind, "", name)
	if err != nil {
		return found
	}
	listed, _, _ := unstructured.NestedSlice(class.Object, "status", "supportedFeatures")
	for _, raw := range listed {
		switch f := raw.(type) {
		case map[string]any:
			name, _ := f["name"].(string)
			found[name] = true
		case string: // as in older versions
			found[f] = true
		}
	}
	return found
}

// ingressController is what the class of an Ingress names as its controller.
func (a *App) ingressController(ctx context.Context, o *unstructured.Unstructured) string {
	if o == nil {
		return ""
	}
	name, _, _ := unstructured.NestedString(o.Object, "spec", "ingressClassName")
	if name == "" {
		name = o.GetAnnotations()["kubernetes.io/ingress.class"]
	}
	if name == "" {
		return ""
	}
	for controller := range a.remember("class "+name, func() map[string]bool {
		class, err := a.get(ctx, ingress.ClassKind, "", name)
		if err != nil && name == "nginx" { // it cannot be read, or there is none, as of old
			return map[string]bool{ingress.NginxController: true}
		}
		if err != nil {
			return nil
		}
		controller, _, _ := unstructured.NestedString(class.Object, "spec", "controller")
		return map[string]bool{controller: true}
	}) {
		return controller
	}
	return ""
}

// remember keeps what rarely changes for as long as the app is driven.
func (a *App) remember(key string, read func() map[string]bool) map[string]bool {
	if a.known == nil {
		a.known = map[string]map[string]bool{}
	}
	if was, has := a.known[key]; has && len(was) > 0 {
		return was
	}
	a.known[key] = read()
	return a.known[key]
}

// get reads one object from the API server itself: kinds that are not watched.
func (a *App) get(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	var from client.Reader = a.Client
	if a.Live != nil {
		from = a.Live
	}
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kind)
	return o, from.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, o)
}
