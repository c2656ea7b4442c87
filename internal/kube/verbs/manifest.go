package verbs

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/internal/kube"
)

// Manifest is a Deployment with the Services, PodDisruptionBudgets and autoscalers that are about it, as its user would have written them: without
// what the cluster added. What may not be read is left out, and named in unread.
func (c *Cluster) Manifest(ctx context.Context, deployment string) (text []byte, unread []string, err error) {
	d, err := kube.Deployment(ctx, c.client, c.place.Namespace, deployment)
	if err != nil {
		return nil, nil, explain(err)
	}
	found := []client.Object{d}
	podLabels, _, _ := unstructured.NestedStringMap(d.Object, "spec", "template", "metadata", "labels")
	var services corev1.ServiceList
	var budgets policyv1.PodDisruptionBudgetList
	var scalers autoscalingv2.HorizontalPodAutoscalerList
	for _, list := range []struct {
		of   string
		into client.ObjectList
	}{{"Services", &services}, {"PodDisruptionBudgets", &budgets}, {"HorizontalPodAutoscalers", &scalers}} {
		err := c.client.List(ctx, list.into, client.InNamespace(c.place.Namespace))
		switch {
		case apierrors.IsForbidden(err):
			unread = append(unread, list.of)
		case err != nil:
			return nil, nil, explain(err)
		}
	}
	for i := range services.Items {
		if s := &services.Items[i]; len(s.Spec.Selector) > 0 && labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(podLabels)) {
			found = append(found, s)
		}
	}
	for i := range budgets.Items {
		b := &budgets.Items[i]
		if s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err == nil && !s.Empty() && s.Matches(labels.Set(podLabels)) {
			found = append(found, b)
		}
	}
	for i := range scalers.Items {
		if h := &scalers.Items[i]; h.Spec.ScaleTargetRef.Kind == "Deployment" && h.Spec.ScaleTargetRef.Name == deployment {
			found = append(found, h)
		}
	}
	var out bytes.Buffer
	for i, o := range found {
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
	meta := map[string]any{"name": o.GetName(), "namespace": o.GetNamespace()}
	if l := o.GetLabels(); len(l) > 0 {
		meta["labels"] = l
	}
	notes := maps.Clone(o.GetAnnotations())
	maps.DeleteFunc(notes, func(key, _ string) bool {
		return key == corev1.LastAppliedConfigAnnotation || strings.HasPrefix(key, "deployment.kubernetes.io/")
	})
	if len(notes) > 0 {
		meta["annotations"] = notes
	}
	unstructured.RemoveNestedField(fields, "spec", "template", "metadata", "creationTimestamp")
	var out bytes.Buffer
	fmt.Fprintf(&out, "apiVersion: %s\nkind: %s\n", kind.GroupVersion(), kind.Kind)
	for _, part := range []struct {
		name  string
		value any
	}{{"metadata", meta}, {"spec", fields["spec"]}} {
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
