package world

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Replace is kubectl replace: what is left out is gone.
func (w *World) Replace(o client.Object) {
	w.Helper()
	w.Eventually("replaced", 10*time.Second, func() error {
		now := o.DeepCopyObject().(client.Object)
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(o), now); err != nil {
			return err
		}
		next := o.DeepCopyObject().(client.Object)
		next.SetResourceVersion(now.GetResourceVersion())
		if s, is := next.(*corev1.Service); is {
			s.Spec.ClusterIP, s.Spec.ClusterIPs = now.(*corev1.Service).Spec.ClusterIP, now.(*corev1.Service).Spec.ClusterIPs
		}
		return w.Update(w.Context(), next)
	})
}

// Apply is kubectl apply --server-side --force-conflicts.
func (w *World) Apply(o client.Object) {
	w.Helper()
	body, err := json.Marshal(o)
	Check(w.T, err)
	var fields map[string]any
	Check(w.T, json.Unmarshal(body, &fields))
	delete(fields, "status")
	body, err = json.Marshal(fields)
	Check(w.T, err)
	Check(w.T, w.Patch(w.Context(), o.DeepCopyObject().(client.Object), client.RawPatch(types.ApplyPatchType, body), client.FieldOwner("a story"), client.ForceOwnership))
}
