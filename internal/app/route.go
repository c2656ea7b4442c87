package app

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	hostText   = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	prefixText = regexp.MustCompile(`^(/[^\s?#\x00-\x1f]*)$`)
	cookieName = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_|~-]{1,64}$`)
)

func route(o object, name string) Route {
	r := Route{Sticky: sticky(o, name)}
	v, ok := o.get("route")
	if !ok {
		return r
	}
	f := v.object(routeShape)
	if h, ok := f.get("host"); ok {
		s, _ := h.text()
		r.Host = strings.ToLower(s)
		if s != "" && (!hostText.MatchString(r.Host) || len(s) > 253) {
			h.wrong("is not the name of a host", "write a name without scheme and port, such as api.localhost")
		}
	}
	if p, ok := f.get("path"); ok {
		s, _ := p.text()
		if !prefixText.MatchString(s) || strings.Contains(s, "/..") || strings.Contains(s, "//") {
			p.wrong("is not a path", "begin with /, without query and without ..: /v1/users")
		}
		r.Path = strings.TrimRight(s, "/")
	}
	leads(f, &r)
	return r
}

// leads reads what leads requests to the app on a cluster.
func leads(f object, r *Route) {
	r.Class, r.EntryPoints = f.text("class", ""), f.words("entryPoints")
	r.Gateway = f.like("gateway", gatewayName, "is not the name of a Gateway", "write NAME, or NAMESPACE/NAME")
	if v, ok := f.get("router"); ok {
		s, ok := v.text()
		if ok && !slices.Contains(Routers, s) {
			v.wrong("is not a router", "write one of "+strings.Join(Routers, ", "))
			return
		}
		r.Router = s
	}
	of := map[string][]string{"class": {"ingress"}, "gateway": {"gatewayapi", "istio"}, "entryPoints": {"traefik"}}
	for name, routers := range of {
		v, ok := f.get(name)
		switch {
		case !ok || slices.Contains(routers, r.Router):
		case r.Router == "" && len(routers) == 1:
			r.Router = routers[0]
		default:
			v.wrong("is said of "+strings.Join(routers, " and "), "write router: "+routers[0]+", or take it out")
		}
	}
	if r.Router == "gatewayapi" && r.Gateway == "" {
		f.missing("gateway", "name the Gateway that the route is attached to, as NAME or NAMESPACE/NAME")
	}
	if r.Router == "" && (r.Host != "" || r.Path != "") {
		r.Router = "ingress"
	}
}

// sticky is the name of a cookie, or true for one that Gapless names.
func sticky(o object, name string) string {
	v, ok := o.get("sticky")
	if !ok {
		return ""
	}
	if v.node.ShortTag() == "!!bool" {
		if yes, _ := v.flag(); yes {
			return "gapless-" + name
		}
		return ""
	}
	s, ok := v.text()
	if ok && !cookieName.MatchString(s) {
		v.wrong("is not the name of a cookie", "use letters, digits, - and _, or write true")
	}
	return s
}

// clashes finds apps that cannot stand in one file: the same name, or requests that would be both's.
func (p *parser) clashes(apps []App, prefix func(int) string) {
	for j, b := range apps {
		for i, a := range apps[:j] {
			p.clash(a, b, prefix(i), prefix(j))
		}
	}
}

func (p *parser) clash(a, b App, pa, pb string) {
	if a.Name == "" || b.Name == "" {
		return
	}
	if a.Name == b.Name {
		p.late(pb+"name", b.Name, fmt.Sprintf("is also the name of the app on line %d", p.lines[pa+"name"]), "give each app its own name")
		return
	}
	for _, port := range b.Ports {
		if port.Public == 0 || !slices.ContainsFunc(a.Ports, func(x Port) bool { return x.Public == port.Public }) {
			continue
		}
		if (a.TLS.Cert == "") != (b.TLS.Cert == "") {
			p.late(pb+"tls", "", fmt.Sprintf("port %d would speak TLS for one of %s and %s, and plain HTTP for the other", port.Public, a.Name, b.Name), "give one of them another port, or both a certificate")
		}
		if a.Route.Host == b.Route.Host && a.Route.Path == b.Route.Path {
			p.late(pb+"route", b.Route.Host+b.Route.Path, fmt.Sprintf("%s takes the same requests of port %d", a.Name, port.Public), "give each app its own host, path or port")
		}
	}
	for _, pair := range [][2]App{{a, b}, {b, a}} {
		if pair[0].Route.Host == pair[1].Name+".localhost" && pair[0].Route.Path == "" {
			at := pa
			if pair[0].Name == b.Name {
				at = pb
			}
			p.late(at+"route.host", pair[0].Route.Host, "is always the app "+pair[1].Name+"'s", "choose another host")
		}
	}
}

// late notes a problem of a field by its path; a field that was left out is shown at its app.
func (p *parser) late(field, shown, what, fix string) {
	line := p.lines[field]
	for path := field; line == 0 && path != ""; line = p.lines[path] {
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	p.problems.List = append(p.problems.List, Problem{Line: max(1, line), Field: field, Value: shown, What: what, Fix: fix})
}

var portPlaceholder = regexp.MustCompile(`\{port\.([^{}]*)\}`)

// placeholders finds ports that are spoken of and are not there.
func placeholders(o object, a App) {
	look := func(v value) {
		if v.node == nil || v.node.Kind != yaml.ScalarNode {
			return
		}
		for _, m := range portPlaceholder.FindAllStringSubmatch(v.node.Value, -1) {
			if !slices.ContainsFunc(a.Ports, func(p Port) bool { return p.Name == m[1] }) {
				v.wrong(m[0]+" is not a port of the app", portNames(a.Ports))
			}
		}
	}
	look(o.fields["dir"])
	lists := []value{o.fields["command"]}
	if v, ok := o.get("image"); ok && v.node.Kind == yaml.MappingNode {
		d := v.dict()
		lists = append(lists, d.fields["command"], d.fields["args"])
	}
	for _, v := range lists {
		if v.node != nil && v.node.Kind == yaml.SequenceNode {
			for _, item := range v.items() {
				look(item)
			}
		}
	}
	if v, ok := o.get("env"); ok && v.node.Kind == yaml.MappingNode {
		for i := 1; i < len(v.node.Content); i += 2 {
			n := plain(v.node.Content[i])
			look(value{node: n, path: v.path + "." + v.node.Content[i-1].Value, line: n.Line, p: v.p})
		}
	}
}
