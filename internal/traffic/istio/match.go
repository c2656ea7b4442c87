package istio

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
)

// Match puts before each http route that names the app a copy with more conditions, which leads to the twins.
func (k VirtualService) Match(o *unstructured.Unstructured, app traffic.App, m rollout.Match) error {
	return k.eachHTTP(o, app, func(route map[string]any) []any {
		matching := only(route, conditions(m))
		k.weigh(matching, app, 100)
		return []any{matching, route}
	})
}

// only is a copy of a route for requests with certain headers.
func only(route, headers map[string]any) map[string]any {
	c := runtime.DeepCopyJSON(route)
	delete(c, "name") // of the routes of a VirtualService no two have the same
	c["match"] = extend(c, headers)
	return c
}

func (k VirtualService) weigh(route map[string]any, app traffic.App, twins int) {
	list, _ := route["route"].([]any)
	route["route"] = traffic.WeighList(k, app, list, twins)
}

// conditions says a match in Istio's language. A cookie is found in its header by a regular expression.
func conditions(m rollout.Match) map[string]any {
	all := map[string]any{}
	for name, value := range m.Header {
		all[strings.ToLower(name)] = map[string]any{"exact": value}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Cookie)) {
		all["cookie"] = map[string]any{"regex": cookiePattern(name, m.Cookie[name])}
	}
	return all
}

// cookiePattern is the whole of a Cookie header that has a cookie with a value.
func cookiePattern(name, value string) string {
	return `(.*;\s*)?` + regexp.QuoteMeta(name) + `=` + regexp.QuoteMeta(value) + `(;.*)?`
}

// extend adds headers to each match of a route. A route without any matches everything.
func extend(route map[string]any, headers map[string]any) []any {
	matches, _ := route["match"].([]any)
	if len(matches) == 0 {
		matches = []any{map[string]any{}}
	}
	var out []any
	for _, raw := range matches {
		match, _ := raw.(map[string]any)
		match = maps.Clone(match)
		have, _ := match["headers"].(map[string]any)
		all := maps.Clone(have)
		if all == nil {
			all = map[string]any{}
		}
		maps.Copy(all, headers)
		match["headers"] = all
		out = append(out, match)
	}
	return out
}

// Mirror puts before each http route that names the app a copy for requests that change nothing, which mirrors them.
func (k VirtualService) Mirror(o *unstructured.Unstructured, app traffic.App, percent int, writes bool) error {
	return k.eachHTTP(o, app, func(route map[string]any) []any {
		mirrored := runtime.DeepCopyJSON(route)
		list, _ := mirrored["route"].([]any)
		for _, raw := range traffic.WeighList(k, app, list, 100) {
			entry, _ := raw.(map[string]any)
			if app.IsTwin(k.Backend(entry).Service) {
				mirrored["mirror"] = runtime.DeepCopyJSONValue(entry["destination"])
				mirrored["mirrorPercentage"] = map[string]any{"value": int64(percent)}
				break
			}
		}
		if writes {
			return []any{mirrored}
		}
		delete(mirrored, "name")
		mirrored["match"] = reading(mirrored)
		return []any{mirrored, route}
	})
}

// reading are the matches of a route for requests that change nothing.
func reading(route map[string]any) []any {
	matches, _ := route["match"].([]any)
	if len(matches) == 0 {
		matches = []any{map[string]any{}}
	}
	var out []any
	for _, raw := range matches {
		match, _ := raw.(map[string]any)
		match = maps.Clone(match)
		if _, has := match["method"]; !has {
			match["method"] = map[string]any{"regex": "GET|HEAD|OPTIONS"}
		}
		out = append(out, match)
	}
	return out
}

// Stick sends users who have the cookie of a version there, and gives the others a cookie with their first answer.
func (k VirtualService) Stick(o *unstructured.Unstructured, app traffic.App, users int) error {
	name := app.StickyCookie()
	return k.eachHTTP(o, app, func(route map[string]any) []any {
		had := func(value string) map[string]any {
			return map[string]any{"cookie": map[string]any{"regex": cookiePattern(name, value)}}
		}
		theirs, twins := only(route, had("user")), only(route, had("twin"))
		k.weigh(twins, app, 100)
		k.weigh(route, app, users)
		list, _ := route["route"].([]any)
		for _, raw := range list {
			entry, _ := raw.(map[string]any)
			side := "user"
			switch service := k.Backend(entry).Service; {
			case app.IsTwin(service):
				side = "twin"
			case app.Service(service) == nil:
				continue
			}
			setCookie(entry, fmt.Sprintf("%s=%s; Path=/; HttpOnly; SameSite=Lax", name, side))
		}
		return []any{twins, theirs, route}
	})
}

func setCookie(entry map[string]any, cookie string) {
	headers, _, _ := unstructured.NestedMap(entry, "headers")
	if headers == nil {
		headers = map[string]any{}
	}
	_ = unstructured.SetNestedField(headers, cookie, "response", "add", "Set-Cookie")
	entry["headers"] = headers
}

// Strip takes out the routes that Match, Mirror and Stick put in.
func (k VirtualService) Strip(o, _ *unstructured.Unstructured, app traffic.App, wrote traffic.Split) {
	routes, _, _ := unstructured.NestedSlice(o.Object, "spec", "http")
	var conditioned map[string]any
	if wrote.Match != nil && wrote.Match.Users == 0 {
		conditioned = conditions(*wrote.Match)
	}
	sticky := `=`
	if wrote.Match != nil && wrote.Match.Users > 0 {
		sticky = regexp.QuoteMeta(app.StickyCookie())
	}
	routes = slices.DeleteFunc(routes, func(raw any) bool {
		route, _ := raw.(map[string]any)
		matches, _ := route["match"].([]any)
		ours := len(matches) > 0
		for _, raw := range matches {
			match, _ := raw.(map[string]any)
			headers, _ := match["headers"].(map[string]any)
			cookie, _, _ := unstructured.NestedString(headers, "cookie", "regex")
			ours = ours && (conditioned != nil && holds(headers, conditioned) || sticky != `=` && strings.Contains(cookie, sticky))
		}
		return ours || wrote.Mirror > 0 && !wrote.MirrorWrites && k.mirrors(route, app)
	})
	for _, raw := range routes {
		route, _ := raw.(map[string]any)
		if k.mirrors(route, app) {
			delete(route, "mirror")
			delete(route, "mirrorPercentage")
		}
		list, _ := route["route"].([]any)
		for _, raw := range list {
			entry, _ := raw.(map[string]any)
			if cookie, _, _ := unstructured.NestedString(entry, "headers", "response", "add", "Set-Cookie"); sticky != `=` && strings.HasPrefix(cookie, app.StickyCookie()+"=") {
				prune(entry, "headers", "response", "add", "Set-Cookie")
			}
		}
	}
	if len(routes) > 0 {
		_ = unstructured.SetNestedSlice(o.Object, routes, "spec", "http")
	}
}

// prune removes a field, and what is empty then above it.
func prune(o map[string]any, path ...string) {
	unstructured.RemoveNestedField(o, path...)
	for n := len(path) - 1; n > 0; n-- {
		if left, _, _ := unstructured.NestedMap(o, path[:n]...); len(left) > 0 {
			return
		}
		unstructured.RemoveNestedField(o, path[:n]...)
	}
}

func (k VirtualService) mirrors(route map[string]any, app traffic.App) bool {
	to, has := route["mirror"].(map[string]any)
	return has && app.IsTwin(k.Backend(map[string]any{"destination": to}).Service)
}

func holds(headers, want map[string]any) bool {
	for name, v := range want {
		if !reflect.DeepEqual(headers[name], v) {
			return false
		}
	}
	return len(want) > 0
}

// Check refuses matches and mirrors where nothing of the route is HTTP, and several cookies, which are one header.
func (k VirtualService) Check(found *unstructured.Unstructured, app traffic.App, plan rollout.Plan) error {
	http := false
	routes, _, _ := unstructured.NestedSlice(found.Object, "spec", "http")
	for _, raw := range routes {
		route, _ := raw.(map[string]any)
		http = http || k.names(route, app)
	}
	for i, s := range plan.Steps {
		step := fmt.Sprintf("spec.strategy.canary.steps[%d]", i)
		switch {
		case (s.Match != nil || s.Mirror > 0) && !http:
			return &traffic.Problem{Reason: traffic.ReasonRouteCannot, Text: fmt.Sprintf("%s: match and mirror go by what HTTP carries, and no http route of VirtualService %s leads to the app; use weight", step, found.GetName())}
		case s.Match != nil && len(s.Match.Cookie) > 1:
			return &traffic.Problem{Reason: traffic.ReasonRouteCannot, Text: step + ".match.cookie: in a VirtualService all cookies are one header, of which one condition can be said; name one cookie"}
		}
	}
	return nil
}
