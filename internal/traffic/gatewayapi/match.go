package gatewayapi

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
)

// The API server takes no more than these of one route.
const (
	maxRules   = 16
	maxMatches = 64
)

// Match puts before each rule that names the app a copy with more conditions, which leads to the twins.
func (k Route) Match(o *unstructured.Unstructured, app traffic.App, m rollout.Match) error {
	return k.insert(o, app, func(rule map[string]any) map[string]any {
		rule["matches"] = extend(rule, headers(m))
		list, _ := rule["backendRefs"].([]any)
		rule["backendRefs"] = traffic.WeighList(k, app, list, 100)
		return rule
	})
}

// Mirror puts before each rule that names the app a copy for requests that change nothing, with a filter that mirrors them.
func (k Route) Mirror(o *unstructured.Unstructured, app traffic.App, percent int, writes bool) error {
	filter := func(rule map[string]any) {
		list, _ := rule["backendRefs"].([]any)
		filters, _ := rule["filters"].([]any)
		for _, raw := range traffic.WeighList(k, app, list, 100) {
			entry, _ := raw.(map[string]any)
			if app.IsTwin(k.Backend(entry).Service) {
				to := map[string]any{"group": "", "kind": "Service", "name": entry["name"], "port": entry["port"]}
				filters = append(filters, map[string]any{
					"type": "RequestMirror", "requestMirror": map[string]any{"backendRef": to, "percent": int64(percent)},
				})
				break // one copy is enough
			}
		}
		rule["filters"] = filters
	}
	if writes {
		return k.each(o, app, filter)
	}
	return k.insert(o, app, func(rule map[string]any) map[string]any {
		if rule["matches"] = reading(rule); len(rule["matches"].([]any)) == 0 {
			return nil // the rule is for writes only
		}
		filter(rule)
		return rule
	})
}

// each changes every rule that names the app.
func (k Route) each(o *unstructured.Unstructured, app traffic.App, change func(map[string]any)) error {
	rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	for _, raw := range rules {
		if rule, _ := raw.(map[string]any); k.names(rule, app) {
			change(rule)
		}
	}
	return unstructured.SetNestedSlice(o.Object, rules, "spec", "rules")
}

// insert puts a changed copy before every rule that names the app; nil is left out.
func (k Route) insert(o *unstructured.Unstructured, app traffic.App, change func(map[string]any) map[string]any) error {
	rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	var out []any
	for _, raw := range rules {
		rule, _ := raw.(map[string]any)
		if k.names(rule, app) {
			more := runtime.DeepCopyJSON(rule)
			delete(more, "name") // of the rules of a route no two have the same
			if more = change(more); more != nil {
				out = append(out, more)
			}
		}
		out = append(out, raw)
	}
	if len(out) > maxRules {
		return &traffic.Problem{Reason: traffic.ReasonRouteCannot, Text: fmt.Sprintf(
			"%s %s: with a rule more for each that names the app it has %d, and %d are allowed; split the route in two", o.GetKind(), o.GetName(), len(out), maxRules)}
	}
	for _, raw := range out {
		rule, _ := raw.(map[string]any)
		if n, _ := rule["matches"].([]any); len(n) > maxMatches {
			return &traffic.Problem{Reason: traffic.ReasonRouteCannot, Text: fmt.Sprintf(
				"%s %s: a rule would have %d matches, and %d are allowed; split it in two", o.GetKind(), o.GetName(), len(n), maxMatches)}
		}
	}
	return unstructured.SetNestedSlice(o.Object, out, "spec", "rules")
}

func (k Route) names(rule map[string]any, app traffic.App) bool {
	list, _ := rule["backendRefs"].([]any)
	return slices.ContainsFunc(list, func(raw any) bool {
		entry, _ := raw.(map[string]any)
		return app.Service(k.Backend(entry).Service) != nil
	})
}

// headers says a match in the terms of the Gateway API. A cookie is found in its header by a regular expression.
func headers(m rollout.Match) []any {
	var all []any
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		all = append(all, map[string]any{"type": "Exact", "name": name, "value": m.Header[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Cookie)) {
		all = append(all, map[string]any{"type": "RegularExpression", "name": "Cookie", "value": cookiePattern(name, m.Cookie[name])})
	}
	return all
}

// cookiePattern is the whole of a Cookie header that has a cookie with a value: implementations match all of it or any part.
func cookiePattern(name, value string) string {
	return `^(.*;\s*)?` + regexp.QuoteMeta(name) + `=` + regexp.QuoteMeta(value) + `(;.*)?$`
}

// extend adds headers to each match of a rule. A rule without any matches everything.
func extend(rule map[string]any, more []any) []any {
	matches, _ := rule["matches"].([]any)
	if len(matches) == 0 {
		matches = []any{map[string]any{}}
	}
	var out []any
	for _, raw := range matches {
		match, _ := raw.(map[string]any)
		match = maps.Clone(match)
		have, _ := match["headers"].([]any)
		match["headers"] = append(slices.Clone(have), more...)
		out = append(out, match)
	}
	return out
}

// reading are the matches of a rule for requests that change nothing.
func reading(rule map[string]any) []any {
	matches, _ := rule["matches"].([]any)
	if len(matches) == 0 {
		matches = []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": "/"}}}
	}
	safe := []string{"GET", "HEAD", "OPTIONS"}
	var out []any
	for _, raw := range matches {
		match, _ := raw.(map[string]any)
		method, has := match["method"].(string)
		switch {
		case has && slices.Contains(safe, method):
			out = append(out, match)
		case has:
		default:
			for _, method := range safe {
				one := maps.Clone(match)
				one["method"] = method
				out = append(out, one)
			}
		}
	}
	return out
}

// Strip takes out the rules that Match and Mirror put in.
func (k Route) Strip(o, _ *unstructured.Unstructured, app traffic.App, wrote traffic.Split) {
	rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	rules = slices.DeleteFunc(rules, func(raw any) bool {
		rule, _ := raw.(map[string]any)
		if wrote.Match != nil && hasHeaders(rule, headers(*wrote.Match)) && k.twinsOnly(rule, app) {
			return true
		}
		return wrote.Mirror > 0 && !wrote.MirrorWrites && k.mirrors(rule, app)
	})
	for _, raw := range rules {
		rule, _ := raw.(map[string]any)
		if filters, has := rule["filters"].([]any); has && k.mirrors(rule, app) {
			rule["filters"] = slices.DeleteFunc(filters, func(raw any) bool { return k.mirrorsTo(raw, app) })
			if len(rule["filters"].([]any)) == 0 {
				delete(rule, "filters")
			}
		}
	}
	_ = unstructured.SetNestedSlice(o.Object, rules, "spec", "rules")
}

func (k Route) twinsOnly(rule map[string]any, app traffic.App) bool {
	list, _ := rule["backendRefs"].([]any)
	return len(list) > 0 && !k.names(rule, app) && slices.ContainsFunc(list, func(raw any) bool {
		entry, _ := raw.(map[string]any)
		return app.IsTwin(k.Backend(entry).Service)
	})
}

func hasHeaders(rule map[string]any, want []any) bool {
	matches, _ := rule["matches"].([]any)
	for _, raw := range matches {
		match, _ := raw.(map[string]any)
		have, _ := match["headers"].([]any)
		for _, w := range want {
			if !slices.ContainsFunc(have, func(h any) bool { return sameHeader(h, w) }) {
				return false
			}
		}
	}
	return len(matches) > 0
}

func sameHeader(a, b any) bool {
	x, _ := a.(map[string]any)
	y, _ := b.(map[string]any)
	nameX, _ := x["name"].(string)
	nameY, _ := y["name"].(string)
	return strings.EqualFold(nameX, nameY) && x["value"] == y["value"]
}

func (k Route) mirrors(rule map[string]any, app traffic.App) bool {
	filters, _ := rule["filters"].([]any)
	return slices.ContainsFunc(filters, func(raw any) bool { return k.mirrorsTo(raw, app) })
}

func (k Route) mirrorsTo(filter any, app traffic.App) bool {
	f, _ := filter.(map[string]any)
	to, _, _ := unstructured.NestedMap(f, "requestMirror", "backendRef")
	return app.IsTwin(k.Backend(to).Service)
}

// Check refuses what the gateways do not say that they can, and mirrors of gRPC that might change something.
func (k Route) Check(_ *unstructured.Unstructured, _ traffic.App, plan rollout.Plan) error {
	cannot := func(i int, field, why, fix string) error {
		return &traffic.Problem{Reason: traffic.ReasonRouteCannot, Text: fmt.Sprintf("spec.strategy.canary.steps[%d].%s: %s; %s", i, field, why, fix)}
	}
	for i, s := range plan.Steps {
		switch {
		case s.Mirror > 0 && k.Kind == GRPCRouteKind && !s.MirrorWrites:
			return cannot(i, "mirror", "a gRPC call does not tell whether it changes anything", "set mirrorWrites: true if all of them may be sent twice, or leave mirror out")
		case s.Mirror > 0 && !k.Features["HTTPRouteRequestMirror"]:
			return cannot(i, "mirror", "the GatewayClass does not list HTTPRouteRequestMirror in its supportedFeatures, and a gateway that cannot mirror answers 500", "leave mirror out, or use a gateway that can")
		case s.Mirror > 0 && s.Mirror < 100 && !k.Features["HTTPRouteRequestPercentageMirror"]:
			return cannot(i, "mirror", "the GatewayClass does not list HTTPRouteRequestPercentageMirror in its supportedFeatures", "mirror 100, or leave mirror out")
		}
	}
	return nil
}
