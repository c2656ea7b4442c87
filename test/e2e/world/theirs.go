package world

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
)

// A Snapshot is what the user wrote, as it stands, without what Kubernetes itself counts up.
type Snapshot struct{ deployment, service, others string }

// Theirs takes the parts of the objects that are the user's.
func (w *World) Theirs() Snapshot {
	w.Helper()
	d, s := w.Deployment(), w.Service()
	for _, o := range []client.Object{d, s} {
		a := o.GetAnnotations()
		delete(a, "deployment.kubernetes.io/revision")
		delete(a, "kubectl.kubernetes.io/last-applied-configuration") // kubectl's own book
		if len(a) == 0 {
			o.SetAnnotations(nil)
		}
	}
	text := func(v ...any) string {
		b, err := json.MarshalIndent(v, "", " ")
		Check(w.T, err)
		return string(b)
	}
	d.Spec.Template.Spec.Containers[0].Args[1] = "" // the version
	var sets appsv1.ReplicaSetList
	Check(w.T, w.List(w.Context(), &sets, client.InNamespace(w.Namespace)))
	ours := map[string]string{}
	for _, rs := range sets.Items {
		for k, v := range rs.Annotations {
			if strings.HasPrefix(k, v1alpha1.Group) {
				ours[rs.Name+" "+k] = v
			}
		}
	}
	var services corev1.ServiceList
	Check(w.T, w.List(w.Context(), &services, client.InNamespace(w.Namespace)))
	for _, s := range services.Items {
		if s.Name != Demo {
			ours["service "+s.Name] = "stands"
		}
	}
	labels := map[string]string{}
	maps.Copy(labels, d.Labels)
	delete(labels, v1alpha1.LabelManaged)
	return Snapshot{
		deployment: text(labels, d.Annotations, d.Spec), service: text(s.Labels, s.Annotations, s.Spec), others: text(ours),
	}
}

func (w *World) SameAs(before Snapshot) {
	w.Helper()
	if now := w.Theirs(); now != before {
		w.Errorf("at rest the objects are not what the user wrote:\n%s", cmp.Diff(before, now, cmp.AllowUnexported(Snapshot{})))
	}
}
