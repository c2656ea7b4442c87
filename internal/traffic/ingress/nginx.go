package ingress

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
)

// The annotations of ingress-nginx.
const (
	nginx        = "nginx.ingress.kubernetes.io/"
	canary       = nginx + "canary"
	canaryWeight = nginx + "canary-weight"
	canaryHeader = nginx + "canary-by-header"
	canaryValue  = nginx + "canary-by-header-value"
	canaryCookie = nginx + "canary-by-cookie"
)

// Nginx divides by a second Ingress with the annotations of a canary. The user's own is not changed, but for the mark.
type Nginx struct{ Plain }

// Fields that are changed: none.
func (Nginx) Fields() [][]string { return nil }

// Weigh is done by the Ingress beside this one.
func (Nginx) Weigh(*unstructured.Unstructured, traffic.App, int) error { return nil }

// Share of the user's own Ingress is 0.
func (Nginx) Share(*unstructured.Unstructured, traffic.App) (percent int, agree bool) { return 0, true }

// Match is done by the Ingress beside this one.
func (Nginx) Match(*unstructured.Unstructured, traffic.App, rollout.Match) error { return nil }

// Companions are Ingresses.
func (Nginx) Companions() []schema.GroupVersionKind { return []schema.GroupVersionKind{Kind} }

// Beside is the canary: the paths that lead to the app, leading to the twins.
func (k Nginx) Beside(found *unstructured.Unstructured, app traffic.App, s traffic.Split) ([]*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetGroupVersionKind(Kind)
	o.SetNamespace(found.GetNamespace())
	o.SetName(found.GetName() + "-gapless-canary")
	annotations := map[string]string{canary: "true", canaryWeight: strconv.Itoa(s.Twins)}
	if class, has := found.GetAnnotations()["kubernetes.io/ingress.class"]; has {
		annotations["kubernetes.io/ingress.class"] = class
	}
	if m := s.Match; m != nil {
		for name, value := range m.Header {
			annotations[canaryHeader], annotations[canaryValue] = name, value
		}
		for name := range m.Cookie {
			annotations[canaryCookie] = name
		}
	}
	o.SetAnnotations(annotations)
	spec := map[string]any{}
	if class, has, _ := unstructured.NestedString(found.Object, "spec", "ingressClassName"); has {
		spec["ingressClassName"] = class
	}
	rules, _, _ := unstructured.NestedSlice(found.Object, "spec", "rules")
	var out []any
	for _, raw := range rules {
		rule, _ := raw.(map[string]any)
		paths, _, _ := unstructured.NestedSlice(rule, "http", "paths")
		var kept []any
		for _, raw := range paths {
			path, _ := raw.(map[string]any)
			b, _ := path["backend"].(map[string]any)
			if name := k.Backend(b).Service; app.Service(name) != nil {
				k.Rename(b, traffic.TwinOf(name))
				kept = append(kept, path)
			}
		}
		if len(kept) > 0 {
			_ = unstructured.SetNestedSlice(rule, kept, "http", "paths")
			out = append(out, rule)
		}
	}
	spec["rules"] = out
	o.Object["spec"] = spec
	return []*unstructured.Unstructured{o}, nil
}

// Check refuses matches that the annotations cannot say, and a default backend, which has no path.
func (k Nginx) Check(found *unstructured.Unstructured, app traffic.App, plan rollout.Plan) error {
	if b, has, _ := unstructured.NestedMap(found.Object, "spec", "defaultBackend"); has && app.Service(k.Backend(b).Service) != nil {
		return &traffic.Problem{Reason: traffic.ReasonRouteCannot, Text: fmt.Sprintf(
			"spec.traffic.ingress: the app is the defaultBackend of Ingress %s, which has no canary; give it a rule with a path", found.GetName())}
	}
	for i, s := range plan.Steps {
		m := s.Match
		if m == nil {
			continue
		}
		if len(m.Header)+len(m.Cookie) > 1 {
			return &traffic.Problem{Reason: traffic.ReasonRouteCannot, Text: fmt.Sprintf("spec.strategy.canary.steps[%d].match: ingress-nginx takes one header or one cookie; name one", i)}
		}
		for name, value := range m.Cookie {
			if value != "always" {
				return &traffic.Problem{Reason: traffic.ReasonRouteCannot, Text: fmt.Sprintf("spec.strategy.canary.steps[%d].match.cookie.%s %q: ingress-nginx knows the value always, and no other; use that, or a header", i, name, value)}
			}
		}
	}
	return nil
}
