package weighted

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/internal/traffic"
)

// A record is what the mark on a divided route object says.
type record struct {
	// Rollout that divides it, and the revision that it does so in.
	Rollout  string `json:"rollout"`
	Revision int    `json:"revision,omitempty"`
	// Split that was written.
	Split traffic.Split `json:"split"`
	// Found holds what the user wrote in the fields that are changed, by path. A field that was absent is absent here.
	Found map[string]any `json:"found"`
}

// Of is the Rollout that divides a route object, or "".
func Of(o *unstructured.Unstructured, mark string) string {
	var rec record
	if json.Unmarshal([]byte(o.GetAnnotations()[mark]), &rec) != nil {
		return ""
	}
	return rec.Rollout
}

// standing is what a route object and what is beside it mean.
type standing struct {
	marked bool
	by     string // the Rollout that the mark names
	found  *unstructured.Unstructured
	// split that stands. Where somebody changed the object it is what its weights say.
	split traffic.Split
	app   traffic.App
	// intact: the object is exactly what the mark says that we wrote.
	intact bool
	// missing are to stand beside it and do not, or not so; stale are of ours, and not to.
	missing, stale []*unstructured.Unstructured
}

// whole tells that nothing is missing and nothing is too much.
func (s *standing) whole() bool { return s.intact && len(s.missing)+len(s.stale) == 0 }

func (r *Router) standing() *standing {
	if r.at != nil {
		return r.at
	}
	at := &standing{app: r.App, intact: true}
	r.at = at
	if r.Object == nil {
		at.stale = r.Companions
		return at
	}
	rec, marked := r.record()
	at.marked, at.by, at.split = marked, rec.Rollout, rec.Split
	at.app.Revision = rec.Revision
	at.found = r.unmarked()
	if marked {
		for _, path := range r.Kind.Fields() {
			put(at.found.Object, rec.Found[strings.Join(path, "/")], path)
		}
	}
	want, beside, err := traffic.Divide(r.Kind, at.found, at.app, at.split)
	if at.intact = err == nil && r.same(want, r.Object); !at.intact {
		before := at.found
		at.found = r.unmarked()
		percent, _ := traffic.ShareOf(r.Kind, at.found, r.App)
		at.split = traffic.Split{Twins: percent}
		traffic.Strip(r.Kind, at.found, before, r.App, rec.Split)
		beside = nil
	}
	at.missing, at.stale = compare(beside, r.Companions)
	return at
}

func (r *Router) record() (record, bool) {
	text, marked := r.Object.GetAnnotations()[r.Mark]
	var rec record
	if marked && json.Unmarshal([]byte(text), &rec) != nil {
		return record{}, false // nothing is guessed from it; twins are known by their names
	}
	rec.Found, _ = whole(rec.Found).(map[string]any)
	return rec, marked
}

// whole makes the whole numbers of decoded JSON what they are in objects of the API server.
func whole(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = whole(v[k])
		}
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	case float64:
		if n := int64(v); float64(n) == v {
			return n
		}
	}
	return v
}

// unmarked is a copy of the object as it stands, without the mark.
func (r *Router) unmarked() *unstructured.Unstructured {
	o := r.Object.DeepCopy()
	annotations := maps.Clone(o.GetAnnotations())
	delete(annotations, r.Mark)
	o.SetAnnotations(annotations)
	if len(annotations) == 0 {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations")
	}
	return o
}

// same tells whether two objects agree in the fields that are ours while the route is divided.
func (r *Router) same(a, b *unstructured.Unstructured) bool {
	for _, path := range r.Kind.Fields() {
		if !reflect.DeepEqual(get(a.Object, path), get(b.Object, path)) {
			return false
		}
	}
	return true
}

func get(o map[string]any, path []string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	return v
}

// put sets a field, or removes it where v is nil.
func put(o map[string]any, v any, path []string) {
	if v == nil {
		unstructured.RemoveNestedField(o, path...)
		return
	}
	_ = unstructured.SetNestedField(o, v, path...) // it was an object there before
}

// compare tells which of the wanted companions are missing, or are not as they are to be, and which are there without being wanted.
func compare(want, have []*unstructured.Unstructured) (missing, stale []*unstructured.Unstructured) {
	key := func(o *unstructured.Unstructured) string { return o.GetKind() + " " + o.GetName() }
	stand, wanted := map[string]*unstructured.Unstructured{}, map[string]bool{}
	for _, o := range have {
		stand[key(o)] = o
	}
	for _, o := range want {
		wanted[key(o)] = true
		if is := stand[key(o)]; is == nil || !alike(o, is) {
			missing = append(missing, o)
		}
	}
	for _, o := range have {
		if !wanted[key(o)] {
			stale = append(stale, o)
		}
	}
	return missing, stale
}

// alike tells whether a companion stands as it is wanted: its spec, and the annotations that are wanted.
func alike(want, is *unstructured.Unstructured) bool {
	for k, v := range want.GetAnnotations() {
		if is.GetAnnotations()[k] != v {
			return false
		}
	}
	return reflect.DeepEqual(want.Object["spec"], is.Object["spec"])
}
