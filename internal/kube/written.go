package kube

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// written remembers the resource version of each object that was written and not yet seen, so that a cache which lags is not taken for
// the present. Versions of one resource can be compared as numbers.
type written struct {
	at   map[string]string
	gone map[string]string // UIDs of deleted objects
}

func (w *written) note(o client.Object) {
	if w.at == nil {
		w.at = map[string]string{}
	}
	w.at[nameOf(o)] = o.GetResourceVersion()
}

func (w *written) deleted(o client.Object) {
	if w.gone == nil {
		w.gone = map[string]string{}
	}
	w.gone[nameOf(o)] = string(o.GetUID())
	delete(w.at, nameOf(o))
}

// forget gives up waiting: the next look takes the cache as it is.
func (w *written) forget() { w.at, w.gone = nil, nil }

// behind tells whether an object as the cache has it is older than what was written.
func (w *written) behind(o client.Object) bool {
	name := nameOf(o)
	if uid, ok := w.gone[name]; ok {
		if uid == string(o.GetUID()) && o.GetDeletionTimestamp() == nil {
			return true
		}
		delete(w.gone, name)
	}
	want, ok := w.at[name]
	if !ok {
		return false
	}
	if older(o.GetResourceVersion(), want) {
		return true
	}
	delete(w.at, name)
	return false
}

// missing tells which written object of a kind the cache does not show at all.
func (w *written) missing(kind string, seen map[string]bool) string {
	for name := range w.at {
		if len(name) > len(kind) && name[:len(kind)+1] == kind+" " && !seen[name] {
			return name
		}
	}
	return ""
}

func older(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	if errX != nil || errY != nil {
		return a != b
	}
	return x < y
}

// nameOf tells objects apart within a namespace.
func nameOf(o client.Object) string {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return u.GetKind() + " " + u.GetName()
	}
	return fmt.Sprintf("%T %s", o, o.GetName())
}
