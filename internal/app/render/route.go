package render

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"gapless.dev/gapless/internal/rollout"
)

// route leads requests to the Service. It goes to the first port.
func (r renderer) route() *yaml.Node {
	switch r.a.Route.Router {
	case "ingress":
		return r.ingress()
	case "gatewayapi":
		return r.httpRoute()
	case "traefik":
		return r.ingressRoute()
	case "istio":
		return r.virtualService()
	}
	return nil
}

func (r renderer) path() string {
	if r.a.Route.Path == "" {
		return "/"
	}
	return r.a.Route.Path
}

func (r renderer) ingress() *yaml.Node {
	to := object("service", object("name", r.a.Name, "port", flow(object("name", r.a.Ports[0].Name))))
	tls := list()
	if s := r.a.TLS.Secret; s != "" {
		var hosts []string
		if r.a.Route.Host != "" {
			hosts = []string{r.a.Route.Host}
		}
		tls = list(object("hosts", hosts, "secretName", s))
	}
	return with(r.head("networking.k8s.io/v1", "Ingress", r.a.Name), "spec", object(
		"ingressClassName", r.a.Route.Class,
		"tls", tls,
		"rules", list(object("host", r.a.Route.Host, "http", object("paths", list(object("path", r.path(), "pathType", "Prefix", "backend", to))))),
	))
}

// httpRoute carries no certificate: that is the Gateway's.
func (r renderer) httpRoute() *yaml.Node {
	var hosts []string
	if r.a.Route.Host != "" {
		hosts = []string{r.a.Route.Host}
	}
	namespace, name := r.gateway()
	return with(r.head("gateway.networking.k8s.io/v1", "HTTPRoute", r.a.Name), "spec", object(
		"parentRefs", list(flow(object("name", name, "namespace", namespace))),
		"hostnames", hosts,
		"rules", list(object(
			"matches", list(object("path", flow(object("type", "PathPrefix", "value", r.path())))),
			"backendRefs", list(flow(object("name", r.a.Name, "port", r.a.Ports[0].Public))),
		)),
	))
}

func (r renderer) gateway() (namespace, name string) {
	if namespace, name, found := strings.Cut(r.a.Route.Gateway, "/"); found {
		return namespace, name
	}
	return "", r.a.Route.Gateway
}

// ingressRoute: Traefik's PathPrefix knows no slashes, so that /v1/users would take /v1/users-old, too.
func (r renderer) ingressRoute() *yaml.Node {
	var all []string
	if h := r.a.Route.Host; h != "" {
		all = append(all, "Host(`"+h+"`)")
	}
	if p := r.a.Route.Path; p != "" {
		all = append(all, "(Path(`"+p+"`) || PathPrefix(`"+p+"/`))")
	}
	if len(all) == 0 {
		all = []string{"PathPrefix(`/`)"}
	}
	var tls *yaml.Node
	if s := r.a.TLS.Secret; s != "" {
		tls = object("secretName", s)
	}
	return with(r.head("traefik.io/v1alpha1", "IngressRoute", r.a.Name), "spec", object(
		"entryPoints", r.a.Route.EntryPoints,
		"routes", list(object(
			"match", strings.Join(all, " && "), "kind", "Rule",
			"services", list(flow(object("name", r.a.Name, "port", r.a.Ports[0].Public))),
		)),
		"tls", tls,
	))
}

func (r renderer) virtualService() *yaml.Node {
	host, gateways := r.a.Route.Host, []string{"mesh"}
	if r.a.Route.Gateway != "" {
		gateways = []string{r.a.Route.Gateway}
	}
	if host == "" {
		host = r.a.Name // calls within the mesh
	}
	match := list()
	if p := r.a.Route.Path; p != "" {
		match = list(object("uri", flow(object("exact", p))), object("uri", flow(object("prefix", p+"/"))))
	}
	return with(r.head("networking.istio.io/v1", "VirtualService", r.a.Name), "spec", object(
		"hosts", []string{host},
		"gateways", gateways,
		"http", list(object("match", match, "route", list(object("destination", object("host", r.a.Name, "port", flow(object("number", r.a.Ports[0].Public))))))),
	))
}

// traffic names the route for the Rollout, where there is something to divide in it. An Ingress divides by weight with ingress-nginx only; with
// another controller the Service does, by share of pods.
func (r renderer) traffic() *yaml.Node {
	p := r.a.Plan
	if p.Strategy != rollout.Canary && p.Strategy != rollout.BlueGreen {
		return nil
	}
	switch r.a.Route.Router {
	case "ingress":
		divides := p.Strategy == rollout.BlueGreen || strings.Contains(r.a.Route.Class, "nginx")
		for _, s := range p.Steps {
			divides = divides || s.Match != nil || s.Mirror > 0
		}
		if divides {
			return object("ingress", r.a.Name)
		}
	case "gatewayapi":
		return object("gatewayAPI", object("httpRoute", r.a.Name))
	case "traefik":
		return object("traefik", object("ingressRoute", r.a.Name))
	case "istio":
		return object("istio", object("virtualService", r.a.Name))
	}
	return nil
}

// sorted is a mapping of texts in the order of its names.
func sorted(texts map[string]string) *yaml.Node {
	n := object()
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		n.Content = append(n.Content, word(name), word(texts[name]))
	}
	return n
}
