package traffic

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	"gapless.dev/gapless/internal/rollout"
)

// Divide writes a split into an object as the user wrote it, and returns what it becomes and what is to stand beside it.
func Divide(k Kind, found *unstructured.Unstructured, app App, s Split) (o *unstructured.Unstructured, beside []*unstructured.Unstructured, err error) {
	o = found.DeepCopy()
	if s.Whole() {
		return o, nil, nil
	}
	if m := s.Match; m != nil && m.Users > 0 {
		err = k.(Sticker).Stick(o, app, m.Users)
	} else if m != nil {
		err = k.(Matcher).Match(o, app, *m)
	}
	if err == nil && s.Mirror > 0 {
		err = k.(Mirrorer).Mirror(o, app, s.Mirror, s.MirrorWrites)
	}
	if err == nil && s.Twins > 0 {
		err = weigh(k, o, app, s.Twins)
	}
	if c, has := k.(Companion); has && err == nil {
		beside, err = c.Beside(found, app, s)
	}
	return o, beside, err
}

func weigh(k Kind, o *unstructured.Unstructured, app App, twins int) error {
	if w, own := k.(Weigher); own {
		return w.Weigh(o, app, twins)
	}
	k.Backends(o, func(_ string, list []any) []any { return WeighList(k, app, list, twins) })
	return nil
}

// WeighList gives the twins of the app's Services their share within one list. A list that names a twin already is left as it is.
func WeighList(k Kind, app App, list []any, twins int) []any {
	if !leads(k, list, func(name string) bool { return app.Service(name) != nil }) ||
		leads(k, list, app.IsTwin) {
		return list
	}
	scale := 100
	if alone := len(list) == 1; alone {
		scale = 1 // of one backend the share is the weight
	}
	var out []any
	var weights []int
	add := func(entry map[string]any, weight int) {
		out, weights = append(out, entry), append(weights, weight)
	}
	for _, raw := range list {
		entry, is := raw.(map[string]any)
		b := Backend{}
		if is {
			b = k.Backend(entry)
		}
		switch {
		case !is || app.Service(b.Service) == nil:
			add(entry, b.Weight*scale)
		case b.Weight == 0:
			add(entry, 0) // the user sends nothing there
		default:
			each := b.Weight
			if scale == 1 {
				each = 1
			}
			if twins < 100 {
				add(entry, each*(100-twins))
			}
			twin := copyOf(entry)
			k.Rename(twin, TwinOf(b.Service))
			add(twin, each*twins)
		}
	}
	unit := 0
	if scale == 100 {
		for _, w := range weights {
			unit = gcd(w, unit)
		}
	}
	for i := range out {
		entry := maps.Clone(out[i].(map[string]any))
		entry["weight"] = int64(weights[i] / max(unit, 1))
		out[i] = entry
	}
	return out
}

// leads tells whether an entry of a list leads to a Service of which is says so.
func leads(k Kind, list []any, is func(string) bool) bool {
	return slices.ContainsFunc(list, func(raw any) bool {
		entry, ok := raw.(map[string]any)
		return ok && is(k.Backend(entry).Service)
	})
}

// ShareOf is the part of the twins in an object as it stands, in percent. agree is false where its lists say different things.
func ShareOf(k Kind, o *unstructured.Unstructured, app App) (percent int, agree bool) {
	if w, own := k.(Weigher); own {
		return w.Share(o, app)
	}
	var shares []int
	k.Backends(o.DeepCopy(), func(_ string, list []any) []any {
		theirs, twins := 0, 0
		for _, raw := range list {
			entry, _ := raw.(map[string]any)
			switch b := k.Backend(entry); {
			case app.Service(b.Service) != nil:
				theirs += b.Weight
			case app.IsTwin(b.Service):
				twins += b.Weight
			}
		}
		if theirs+twins > 0 {
			shares = append(shares, 100*twins/(theirs+twins))
		}
		return list
	})
	if len(shares) == 0 {
		return 0, true
	}
	return slices.Max(shares), slices.Max(shares) == slices.Min(shares)
}

// Strip takes what is ours out of an object that somebody has changed since we wrote it. Entries of the user that we gave a weight get
// back the one that they have in found, and none where they stand there no more and are alone.
func Strip(k Kind, o, found *unstructured.Unstructured, app App, wrote Split) {
	if s, has := k.(Stripper); has {
		s.Strip(o, found, app, wrote)
	}
	var before []map[string]any
	k.Backends(found.DeepCopy(), func(_ string, list []any) []any {
		for _, raw := range list {
			if entry, is := raw.(map[string]any); is {
				before = append(before, entry)
			}
		}
		return list
	})
	k.Backends(o, func(_ string, list []any) []any {
		if !leads(k, list, app.IsTwin) {
			return list
		}
		var left []any
		for _, raw := range list {
			entry, _ := raw.(map[string]any)
			twin := k.Backend(entry).Service
			theirs := strings.TrimSuffix(twin, twinSuffix)
			switch {
			case !app.IsTwin(twin):
			case leads(k, list, func(name string) bool { return name == theirs }):
				continue
			default: // it had all, and the user's own was taken out
				entry = copyOf(entry)
				k.Rename(entry, theirs)
				raw = entry
			}
			left = append(left, raw)
		}
		for i, raw := range left {
			if entry, is := raw.(map[string]any); is {
				left[i] = unweighed(entry, before, len(left) == 1)
			}
		}
		return left
	})
}

// unweighed is an entry with the weight that it had before, or none.
func unweighed(entry map[string]any, before []map[string]any, alone bool) map[string]any {
	entry = maps.Clone(entry)
	for _, b := range before {
		if !sameBut(b, entry, "weight") {
			continue
		}
		delete(entry, "weight")
		if w, has := b["weight"]; has {
			entry["weight"] = w
		}
		return entry
	}
	if alone {
		delete(entry, "weight")
	}
	return entry
}

// CheckRoute tells what is wrong with what a route object says of the app: a *Problem, or nil. field is how the Rollout names the object.
func CheckRoute(k Kind, o *unstructured.Unstructured, app App, field string, plan rollout.Plan) error {
	name := o.GetKind() + " " + o.GetName()
	var errs []error
	named := 0
	k.Backends(o.DeepCopy(), func(path string, list []any) []any {
		for _, raw := range list {
			entry, _ := raw.(map[string]any)
			b := k.Backend(entry)
			s := app.Service(b.Service)
			if s == nil {
				continue
			}
			named++
			if err := nameable(s.Name); err != nil {
				errs = append(errs, err)
			}
			if b.Port == (intstr.IntOrString{}) || slices.ContainsFunc(s.Spec.Ports, servicePort(b.Port)) {
				continue
			}
			var have []string
			for _, p := range s.Spec.Ports {
				have = append(have, portName(p))
			}
			errs = append(errs, &Problem{Reason: ReasonRouteWrongPort, Text: fmt.Sprintf(
				"%s: %s names port %s of Service %s in %s, and that has %s; correct the port in the %s", field, name, b.Port.String(), s.Name, path, inWords(have), o.GetKind())})
		}
		return list
	})
	if named == 0 {
		var have []string
		for _, s := range app.Services {
			have = append(have, s.Name)
		}
		return &Problem{Reason: ReasonRouteWithoutService, Text: fmt.Sprintf(
			"%s: %s leads to none of the Services of the Deployment (%s); name one of them in the %s, or another %s here", field, name, inWords(have), o.GetKind(), o.GetKind())}
	}
	if len(errs) > 0 {
		return errs[0]
	}
	if err := can(k, plan, name); err != nil {
		return err
	}
	if c, has := k.(Checker); has {
		return c.Check(o, app, plan)
	}
	return nil
}

// can tells whether a kind has the abilities that a plan asks for.
func can(k Kind, plan rollout.Plan, name string) error {
	cannot := func(i int, field, fix string) error {
		return &Problem{Reason: ReasonRouteCannot, Text: fmt.Sprintf("spec.strategy.canary.steps[%d].%s: %s cannot do that; %s", i, field, name, fix)}
	}
	_, matches := k.(Matcher)
	_, mirrors := k.(Mirrorer)
	_, sticks := k.(Sticker)
	for i, s := range plan.Steps {
		switch {
		case s.Match != nil && s.Match.Users > 0 && !sticks:
			return cannot(i, "match.users", "use a weight, or a match by header")
		case s.Match != nil && s.Match.Users == 0 && !matches:
			return cannot(i, "match", "use a weight")
		case s.Mirror > 0 && !mirrors:
			return cannot(i, "mirror", "leave it out")
		}
	}
	return nil
}

// AsProblem is the Problem in an error, or nil.
func AsProblem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return nil
}
