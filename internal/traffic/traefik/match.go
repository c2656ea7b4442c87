package traefik

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
)

// matching is an IngressRoute above the user's one that takes the requests which match to the twins.
func (k IngressRoute) matching(found *unstructured.Unstructured, app traffic.App, m rollout.Match) *unstructured.Unstructured {
	return k.beside(found, app, "match", 2, func(route map[string]any) {
		route["match"] = and(route, matchRule(m, old(route)))
		services, _ := route["services"].([]any)
		route["services"] = traffic.WeighList(k, app, services, 100)
	})
}

// old tells whether a rule is in the syntax of Traefik v2.
func old(route map[string]any) bool { return route["syntax"] == "v2" }

func and(route map[string]any, more string) string {
	rule, _ := route["match"].(string)
	return "(" + rule + ") && " + more
}

// matchRule says a match in Traefik's language.
func matchRule(m rollout.Match, old bool) string {
	header, pattern := "Header", "HeaderRegexp"
	if old {
		header, pattern = "Headers", "HeadersRegexp"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		parts = append(parts, fmt.Sprintf("%s(%s, %s)", header, quote(name), quote(m.Header[name])))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Cookie)) {
		parts = append(parts, fmt.Sprintf("%s(%s, %s)", pattern, quote("Cookie"), quote(cookiePattern(name, m.Cookie[name]))))
	}
	return strings.Join(parts, " && ")
}

// cookiePattern finds one cookie with one value in a Cookie header.
func cookiePattern(name, value string) string {
	return `(^|;\s*)` + regexp.QuoteMeta(name) + `=` + regexp.QuoteMeta(value) + `(;|$)`
}

func quote(s string) string {
	if strings.ContainsAny(s, "`\n\r") {
		return strconv.Quote(s)
	}
	return "`" + s + "`"
}

// mirroring is an IngressRoute above the user's one for requests that change nothing, and the TraefikServices that copy them.
func (k IngressRoute) mirroring(found *unstructured.Unstructured, app traffic.App, s traffic.Split) []*unstructured.Unstructured {
	var services []*unstructured.Unstructured
	n := 0
	route := k.beside(found, app, "mirror", 1, func(route map[string]any) {
		n++
		if !s.MirrorWrites {
			route["match"] = and(route, reading(old(route)))
		}
		list, _ := route["services"].([]any)
		twins := slices.DeleteFunc(traffic.WeighList(k, app, list, 100), func(raw any) bool {
			entry, _ := raw.(map[string]any)
			return !app.IsTwin(backend(entry).Service)
		})
		main := traffic.WeighList(k, app, list, s.Twins)
		if s.Twins == 0 {
			main = list
		}
		whole := companion(TraefikServiceKind, found, fmt.Sprintf("main-%d", n))
		whole.Object["spec"] = map[string]any{"weighted": map[string]any{"services": main}}
		copies := companion(TraefikServiceKind, found, fmt.Sprintf("mirror-%d", n))
		var mirrors []any
		for _, raw := range twins {
			entry := maps.Clone(raw.(map[string]any))
			delete(entry, "weight")
			entry["percent"] = int64(s.Mirror)
			mirrors = append(mirrors, entry)
		}
		copies.Object["spec"] = map[string]any{"mirroring": map[string]any{"kind": "TraefikService", "name": whole.GetName(), "mirrors": mirrors}}
		services = append(services, whole, copies)
		route["services"] = []any{map[string]any{"kind": "TraefikService", "name": copies.GetName()}}
	})
	return append(services, route)
}

// reading are the methods that change nothing.
func reading(old bool) string {
	if old {
		return "Method(`GET`, `HEAD`, `OPTIONS`)"
	}
	return "(Method(`GET`) || Method(`HEAD`) || Method(`OPTIONS`))"
}

// users are the TraefikServices that keep users where they are by a cookie.
func (k IngressRoute) users(found *unstructured.Unstructured, app traffic.App, users int) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	k.Backends(found.DeepCopy(), func(_ string, list []any) []any {
		if !named(list, app) {
			return list
		}
		o := companion(TraefikServiceKind, found, "")
		o.SetName(usersName(found, len(all)+1))
		o.Object["spec"] = map[string]any{"weighted": map[string]any{
			"services": traffic.WeighList(k, app, list, users), "sticky": sticky(app),
		}}
		all = append(all, o)
		return list
	})
	return all
}

// sticky is a cookie that lasts as long as the browser is open, and cannot be read by scripts.
func sticky(app traffic.App) map[string]any {
	return map[string]any{"cookie": map[string]any{"name": app.StickyCookie(), "httpOnly": true, "sameSite": "lax", "path": "/"}}
}
