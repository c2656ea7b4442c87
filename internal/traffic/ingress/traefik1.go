package ingress

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
)

// weights is the annotation of Traefik 1.x: a line for each Service of the Ingress, "name: 25%".
const weights = "traefik.ingress.kubernetes.io/service-weights"

// Traefik1 divides an Ingress of Traefik 1.x that has the annotation already: a path with two Services, and their weights.
type Traefik1 struct{ Plain }

// Fields that are changed.
func (k Traefik1) Fields() [][]string {
	return append(k.Plain.Fields(), []string{"metadata", "annotations", weights})
}

// Weigh names the twin beside the Service in each path, and says the shares of both in the annotation.
func (k Traefik1) Weigh(o *unstructured.Unstructured, app traffic.App, twins int) error {
	shares := parse(o.GetAnnotations()[weights])
	next := maps.Clone(shares)
	for _, s := range app.Services {
		whole, said := shares[s.Name]
		if !said && !k.names(o, s.Name) {
			continue
		}
		if !said {
			whole = 100
		}
		delete(next, s.Name)
		if twins < 100 {
			next[s.Name] = whole * float64(100-twins) / 100
		}
		next[traffic.TwinOf(s.Name)] = whole * float64(twins) / 100
	}
	annotations := o.GetAnnotations()
	annotations[weights] = format(next)
	o.SetAnnotations(annotations)
	if twins == 100 {
		return k.Plain.Weigh(o, app, twins)
	}
	rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	for _, raw := range rules {
		rule, _ := raw.(map[string]any)
		paths, _, _ := unstructured.NestedSlice(rule, "http", "paths")
		var out []any
		for _, raw := range paths {
			out = append(out, raw)
			path, _ := raw.(map[string]any)
			b, _ := path["backend"].(map[string]any)
			if name := k.Backend(b).Service; app.Service(name) != nil {
				twin := runtime.DeepCopyJSON(path)
				k.Rename(twin["backend"].(map[string]any), traffic.TwinOf(name))
				out = append(out, twin)
			}
		}
		if len(out) > 0 {
			_ = unstructured.SetNestedSlice(rule, out, "http", "paths")
		}
	}
	return unstructured.SetNestedSlice(o.Object, rules, "spec", "rules")
}

func (k Traefik1) names(o *unstructured.Unstructured, service string) bool {
	found := false
	k.Backends(o.DeepCopy(), func(_ string, list []any) []any {
		b, _ := list[0].(map[string]any)
		found = found || k.Backend(b).Service == service
		return list
	})
	return found
}

// Share is what the annotation says, of Services that the paths name.
func (k Traefik1) Share(o *unstructured.Unstructured, app traffic.App) (percent int, agree bool) {
	all, agree := k.Plain.Share(o, app)
	if agree {
		return all, true
	}
	shares, theirs, twins := parse(o.GetAnnotations()[weights]), 0.0, 0.0
	for _, s := range app.Services {
		theirs, twins = theirs+shares[s.Name], twins+shares[traffic.TwinOf(s.Name)]
	}
	if theirs+twins == 0 {
		return 50, false // two Services of one path without weights
	}
	return int(100*twins/(theirs+twins) + 0.5), true
}

// Strip takes the twins' paths and weights out.
func (k Traefik1) Strip(o, _ *unstructured.Unstructured, app traffic.App, _ traffic.Split) {
	shares := parse(o.GetAnnotations()[weights])
	for _, s := range app.Services {
		if twin := traffic.TwinOf(s.Name); shares[twin] > 0 {
			shares[s.Name] += shares[twin]
			delete(shares, twin)
		}
	}
	annotations := o.GetAnnotations()
	if annotations[weights] != "" {
		annotations[weights] = format(shares)
		o.SetAnnotations(annotations)
	}
	rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	for _, raw := range rules {
		rule, _ := raw.(map[string]any)
		paths, _, _ := unstructured.NestedSlice(rule, "http", "paths")
		service := func(raw any) (path, name string) {
			p, _ := raw.(map[string]any)
			b, _ := p["backend"].(map[string]any)
			path, _ = p["path"].(string)
			return path, k.Backend(b).Service
		}
		paths = slices.DeleteFunc(paths, func(raw any) bool {
			path, name := service(raw)
			return app.IsTwin(name) && slices.ContainsFunc(paths, func(other any) bool {
				p, n := service(other)
				return p == path && traffic.TwinOf(n) == name
			})
		})
		if len(paths) > 0 {
			_ = unstructured.SetNestedSlice(rule, paths, "http", "paths")
		}
	}
	if len(rules) > 0 {
		_ = unstructured.SetNestedSlice(o.Object, rules, "spec", "rules")
	}
}

// Check has nothing to refuse but a default backend, of which there can only be one.
func (k Traefik1) Check(found *unstructured.Unstructured, app traffic.App, plan rollout.Plan) error {
	b, has, _ := unstructured.NestedMap(found.Object, "spec", "defaultBackend")
	if plan.Strategy == rollout.Canary && has && app.Service(k.Backend(b).Service) != nil {
		return &traffic.Problem{Reason: traffic.ReasonRouteCannot, Text: fmt.Sprintf(
			"spec.strategy.canary: the app is the defaultBackend of Ingress %s, of which there is one; give it a rule with a path", found.GetName())}
	}
	return nil
}

// parse reads lines such as "name: 25%".
func parse(text string) map[string]float64 {
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		name, share, _ := strings.Cut(strings.TrimSpace(line), ":")
		if n, err := strconv.ParseFloat(strings.TrimSuffix(strings.Trim(strings.TrimSpace(share), `"'`), "%"), 64); err == nil {
			all[strings.TrimSpace(name)] = n
		}
	}
	return all
}

// format writes them in the order of the names.
func format(shares map[string]float64) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(shares)) {
		fmt.Fprintf(&b, "%s: %s%%\n", name, strconv.FormatFloat(shares[name], 'f', -1, 64))
	}
	return b.String()
}
