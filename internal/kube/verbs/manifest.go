package verbs

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/traffic/gatewayapi"
	"gapless.dev/gapless/internal/traffic/istio"
	"gapless.dev/gapless/internal/traffic/traefik"
)

// Manifest is a Deployment with all that is about it, as its user would have written it: without what the cluster added. What may not
// be read is left out, and named in unread.
func (c *Cluster) Manifest(ctx context.Context, deployment string) (text []byte, unread []string, err error) {
	return c.ManifestOf(ctx, "Deployment", deployment)
}

// ManifestOf is Manifest for any workload of the group apps. About it are the Services, PodDisruptionBudgets and autoscalers that select it,
// the Ingresses and routes that lead to those Services, the volume claims that it mounts, and its namespace.
func (c *Cluster) ManifestOf(ctx context.Context, kind, name string) (text []byte, unread []string, err error) {
	one := &unstructured.Unstructured{}
	one.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind(kind))
	if err := c.client.Get(ctx, client.ObjectKey{Namespace: c.place.Namespace, Name: name}, one); err != nil {
		return nil, nil, explain(err)
	}
	about, unread, err := c.about(ctx, one)
	if err != nil {
		return nil, nil, explain(err)
	}
	var out bytes.Buffer
	for i, o := range append([]client.Object{one}, about...) {
		one, err := c.written(o)
		if err != nil {
			return nil, nil, err
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(one)
	}
	return out.Bytes(), unread, nil
}

// about finds what belongs to a workload.
func (c *Cluster) about(ctx context.Context, one *unstructured.Unstructured) (found []client.Object, unread []string, err error) {
	var services corev1.ServiceList
	var budgets policyv1.PodDisruptionBudgetList
	var scalers autoscalingv2.HorizontalPodAutoscalerList
	var ingresses networkingv1.IngressList
	var claims corev1.PersistentVolumeClaimList
	for _, list := range []struct {
		of   string
		into client.ObjectList
	}{
		{"Services", &services},
		{"PodDisruptionBudgets", &budgets},
		{"HorizontalPodAutoscalers", &scalers},
		{"Ingresses", &ingresses},
		{"PersistentVolumeClaims", &claims},
	} {
		err := c.client.List(ctx, list.into, client.InNamespace(c.place.Namespace))
		switch {
		case apierrors.IsForbidden(err):
			unread = append(unread, list.of)
		case err != nil:
			return nil, nil, err
		}
	}
	labelled, _, _ := unstructured.NestedStringMap(one.Object, "spec", "template", "metadata", "labels")
	served := map[string]bool{}
	for i := range services.Items {
		if s := &services.Items[i]; len(s.Spec.Selector) > 0 && labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(labelled)) {
			found, served[s.Name] = append(found, s), true
		}
	}
	for i := range budgets.Items {
		if b := &budgets.Items[i]; kube.Protects(b, labelled) {
			found = append(found, b)
		}
	}
	for i := range scalers.Items {
		if h := &scalers.Items[i]; h.Spec.ScaleTargetRef.Kind == one.GetKind() && h.Spec.ScaleTargetRef.Name == one.GetName() {
			found = append(found, h)
		}
	}
	for i := range ingresses.Items {
		if leads(&ingresses.Items[i], served) {
			found = append(found, &ingresses.Items[i])
		}
	}
	routes, forbidden, err := c.routesTo(ctx, served)
	if err != nil {
		return nil, nil, err
	}
	found, unread = append(found, routes...), append(unread, forbidden...)
	mounted := mounts(one)
	for i := range claims.Items {
		if mounted[claims.Items[i].Name] {
			found = append(found, &claims.Items[i])
		}
	}
	return c.withNamespace(ctx, found, unread)
}

// routesTo finds the routes of other kinds than Ingress that lead to Services. A kind that this cluster does not know has none.
func (c *Cluster) routesTo(ctx context.Context, services map[string]bool) (found []client.Object, unread []string, err error) {
	for _, kind := range []schema.GroupVersionKind{gatewayapi.HTTPRouteKind, traefik.IngressRouteKind, istio.VirtualServiceKind} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		err := c.client.List(ctx, list, client.InNamespace(c.place.Namespace))
		switch {
		case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
			continue
		case apierrors.IsForbidden(err):
			unread = append(unread, kind.Kind+"s")
			continue
		case err != nil:
			return nil, nil, err
		}
		for i := range list.Items {
			for s := range services {
				if LeadsTo(list.Items[i].Object, s) {
					found = append(found, &list.Items[i])
					break
				}
			}
		}
	}
	return found, unread, nil
}

// LeadsTo tells whether a route, of whichever kind, has a Service as a backend. All write it as name, but for Istio, which writes a host.
func LeadsTo(route any, service string) bool {
	switch v := route.(type) {
	case []any:
		return slices.ContainsFunc(v, func(one any) bool { return LeadsTo(one, service) })
	case map[string]any:
		for field, one := range v {
			text, _ := one.(string)
			if field == "name" && text == service || field == "host" && strings.SplitN(text, ".", 2)[0] == service {
				return true
			}
			if field != "metadata" && LeadsTo(one, service) {
				return true
			}
		}
	}
	return false
}

// withNamespace adds the namespace: a label of it can give pods a readiness gate.
func (c *Cluster) withNamespace(ctx context.Context, found []client.Object, unread []string) ([]client.Object, []string, error) {
	var ns corev1.Namespace
	err := c.client.Get(ctx, client.ObjectKey{Name: c.place.Namespace}, &ns)
	switch {
	case apierrors.IsForbidden(err):
		return found, append(unread, "the namespace"), nil
	case err != nil:
		return nil, nil, err
	}
	return append(found, &ns), unread, nil
}

func leads(ingress *networkingv1.Ingress, to map[string]bool) bool {
	if b := ingress.Spec.DefaultBackend; b != nil && b.Service != nil && to[b.Service.Name] {
		return true
	}
	for _, rule := range ingress.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, p := range rule.HTTP.Paths {
			if p.Backend.Service != nil && to[p.Backend.Service.Name] {
				return true
			}
		}
	}
	return false
}

// mounts are the claims that a workload's pods mount.
func mounts(one *unstructured.Unstructured) map[string]bool {
	names := map[string]bool{}
	volumes, _, _ := unstructured.NestedSlice(one.Object, "spec", "template", "spec", "volumes")
	for _, v := range volumes {
		if fields, ok := v.(map[string]any); ok {
			if name, found, _ := unstructured.NestedString(fields, "persistentVolumeClaim", "claimName"); found {
				names[name] = true
			}
		}
	}
	return names
}

// written is an object as YAML, without what the cluster added.
func (c *Cluster) written(o client.Object) ([]byte, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	kind, err := apiutil.GVKForObject(o, c.client.Scheme())
	if err != nil {
		return nil, err
	}
	of := map[string]any{"name": o.GetName()}
	if o.GetNamespace() != "" {
		of["namespace"] = o.GetNamespace()
	}
	if l := o.GetLabels(); len(l) > 0 {
		of["labels"] = l
	}
	notes := maps.Clone(o.GetAnnotations())
	maps.DeleteFunc(notes, func(key, _ string) bool {
		return key == corev1.LastAppliedConfigAnnotation || strings.HasPrefix(key, "deployment.kubernetes.io/")
	})
	if len(notes) > 0 {
		of["annotations"] = notes
	}
	unstructured.RemoveNestedField(fields, "spec", "template", "metadata", "creationTimestamp")
	var out bytes.Buffer
	fmt.Fprintf(&out, "apiVersion: %s\nkind: %s\n", kind.GroupVersion(), kind.Kind)
	for _, part := range []struct {
		name  string
		value any
	}{{"metadata", of}, {"spec", fields["spec"]}} {
		text, err := yaml.Marshal(map[string]any{part.name: part.value})
		if err != nil {
			return nil, err
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// Adopted are the Rollouts of a Deployment by name; there should be one at most.
func (c *Cluster) Adopted(ctx context.Context, deployment string) ([]string, error) {
	all, err := c.rollouts(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range all {
		if all[i].Target() == deployment {
			names = append(names, all[i].Name)
		}
	}
	slices.Sort(names)
	return names, nil
}
