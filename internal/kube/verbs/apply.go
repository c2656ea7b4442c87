package verbs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/traffic/gatewayapi"
	"gapless.dev/gapless/internal/traffic/istio"
	"gapless.dev/gapless/internal/traffic/traefik"
)

// applier is by whom the API server knows the fields that a deploy of an app file has written.
const applier = "gapless-deploy"

// What applying does to an object.
const (
	Created   = "created"
	Changed   = "changed"
	Unchanged = "unchanged"
	Deleted   = "deleted"
)

// A Change is what applying would do to one object.
type Change struct {
	// Object is such as Deployment/demo-api.
	Object string
	What   string
	// Before and After are the object as YAML, without what the cluster itself counts up. Empty where there is none.
	Before, After []byte
	// Others writes which fields are somebody else's too, such as "spec.replicas by kube-controller-manager". To apply takes them over.
	Others []string
	// Rolls is set for a Deployment whose template changes, or that is new.
	Rolls bool
	// Called is what people call the version of a Deployment.
	Called string

	object *unstructured.Unstructured
	// follows is set for the Deployment of an app that follows a repository.
	follows bool
}

// Preview asks the API server what applying the objects would do. Objects that match pruned and are not among them would be deleted.
// Nothing is changed.
func (c *Cluster) Preview(ctx context.Context, objects []*unstructured.Unstructured, pruned labels.Selector) ([]Change, error) {
	var all []Change
	for _, o := range objects {
		o.SetNamespace(c.place.Namespace)
		follows := follows(o, objects)
		if follows {
			if _, err := c.keepFollowed(ctx, o); err != nil {
				return nil, err
			}
		}
		one, err := c.preview(ctx, o)
		if err != nil {
			return nil, err
		}
		one.follows = follows
		all = append(all, one)
	}
	gone, err := c.gone(ctx, objects, pruned)
	return append(all, gone...), err
}

func (c *Cluster) preview(ctx context.Context, o *unstructured.Unstructured) (Change, error) {
	ch := Change{Object: o.GetKind() + "/" + o.GetName(), object: o}
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(o.GroupVersionKind())
	err := c.client.Get(ctx, client.ObjectKeyFromObject(o), now)
	there := err == nil
	if err != nil && !apierrors.IsNotFound(err) {
		return ch, c.unknown(o, err)
	}
	then, err := c.apply(ctx, o, client.DryRunAll)
	if apierrors.IsConflict(err) {
		ch.Others = othersOf(err)
		then, err = c.apply(ctx, o, client.DryRunAll, client.ForceOwnership)
	}
	if err != nil {
		return ch, c.unknown(o, err)
	}
	if there {
		ch.Before = plainYAML(now)
	}
	ch.After = plainYAML(then)
	if o.GetKind() == "Deployment" {
		ch.describe(now, then, there)
	}
	switch {
	case !there:
		ch.What = Created
	case bytes.Equal(ch.Before, ch.After):
		ch.What = Unchanged
	default:
		ch.What = Changed
	}
	return ch, nil
}

func (ch *Change) describe(now, then *unstructured.Unstructured, there bool) {
	template := func(o *unstructured.Unstructured) map[string]any {
		t, _, _ := unstructured.NestedMap(o.Object, "spec", "template")
		return t
	}
	ch.Rolls = !there || !equality.Semantic.DeepEqual(template(now), template(then))
	containers, _, _ := unstructured.NestedSlice(then.Object, "spec", "template", "spec", "containers")
	if len(containers) > 0 {
		first, _ := containers[0].(map[string]any)
		image, _ := first["image"].(string)
		ch.Called = kube.TagOf(image)
	}
}

// apply writes the object and returns what stands then.
func (c *Cluster) apply(ctx context.Context, o *unstructured.Unstructured, more ...client.PatchOption) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	then := o.DeepCopy()
	return then, c.client.Patch(ctx, then, client.RawPatch(types.ApplyPatchType, body), append(more, client.FieldOwner(applier))...)
}

// Apply does what was previewed, in order, and deletes last. Fields that are somebody else's are taken over only by force.
func (c *Cluster) Apply(ctx context.Context, changes []Change, force bool, done func(Change)) error {
	for _, ch := range changes {
		switch ch.What {
		case Deleted:
			if err := c.client.Delete(ctx, ch.object, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("delete %s: %w", ch.Object, explain(err))
			}
		case Unchanged:
			continue
		default:
			if len(ch.Others) > 0 && !force {
				return problem("%s: %s: say --force-conflicts to take over", ch.Object, strings.Join(ch.Others, ", "))
			}
			if err := c.write(ctx, ch); err != nil {
				return fmt.Errorf("apply %s: %w", ch.Object, explain(err))
			}
		}
		done(ch)
	}
	return nil
}

// write applies one change. Forced in any case: what our own controller has set for the time of a rollout is guarded, and is put back by it.
func (c *Cluster) write(ctx context.Context, ch Change) error {
	if !ch.follows {
		_, err := c.apply(ctx, ch.object, client.ForceOwnership)
		return err
	}
	// A tag may have gone live since the preview. What is read here must still stand when it is written, or the file would take it back.
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		o := ch.object.DeepCopy()
		read, err := c.keepFollowed(ctx, o)
		if err != nil {
			return err
		}
		o.SetResourceVersion(read)
		_, err = c.apply(ctx, o, client.ForceOwnership)
		return err
	})
}

// othersOf reads from a conflict whose the fields are. Our own controller's are no conflict: it gives them back.
func othersOf(err error) []string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	var all []string
	for _, cause := range status.Status().Details.Causes {
		_, by, _ := strings.Cut(cause.Message, `conflict with "`)
		by, _, _ = strings.Cut(by, `"`)
		if by != "" && !strings.HasPrefix(by, "gapless") {
			all = append(all, strings.TrimPrefix(cause.Field, ".")+" by "+by)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// unknown says what to do about a kind that the cluster does not serve.
func (c *Cluster) unknown(o *unstructured.Unstructured, err error) error {
	if !meta.IsNoMatchError(err) {
		return fmt.Errorf("%s/%s: %w", o.GetKind(), o.GetName(), explain(err))
	}
	if o.GroupVersionKind().Group == v1alpha1.Group {
		return problem("this cluster does not know Rollouts: gapless install | kubectl apply -f -")
	}
	return problem("this cluster does not know %s of %s: install what serves it, or choose another router", o.GetKind(), o.GetAPIVersion())
}

// follows tells whether the object is the Deployment of an app that follows a repository.
func follows(o *unstructured.Unstructured, all []*unstructured.Unstructured) bool {
	return o.GetKind() == "Deployment" && slices.ContainsFunc(all, func(r *unstructured.Unstructured) bool {
		_, follows, _ := unstructured.NestedMap(r.Object, "spec", "follow")
		return r.GetKind() == "Rollout" && r.GetName() == o.GetName() && follows
	})
}

// keepFollowed leaves the image as it is of an app that follows a repository: the file's version was only the first. It returns as which
// resource version it was read, empty if nothing is live by a tag yet.
func (c *Cluster) keepFollowed(ctx context.Context, o *unstructured.Unstructured) (string, error) {
	var r v1alpha1.Rollout
	if err := c.client.Get(ctx, client.ObjectKeyFromObject(o), &r); err != nil {
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return "", nil
		}
		return "", explain(err)
	}
	if r.Status.Follow == nil || r.Status.Follow.Live == nil {
		return "", nil
	}
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(o.GroupVersionKind())
	if err := c.client.Get(ctx, client.ObjectKeyFromObject(o), now); err != nil {
		return "", client.IgnoreNotFound(explain(err))
	}
	return now.GetResourceVersion(), copyVersion(now, o)
}

// copyVersion takes the images and the words about the version from one Deployment to another.
func copyVersion(from, to *unstructured.Unstructured) error {
	path := []string{"spec", "template", "spec", "containers"}
	old, _, _ := unstructured.NestedSlice(from.Object, path...)
	next, _, err := unstructured.NestedSlice(to.Object, path...)
	if err != nil {
		return err
	}
	for _, n := range next {
		for _, o := range old {
			if n, o := n.(map[string]any), o.(map[string]any); n["name"] == o["name"] {
				n["image"] = o["image"]
			}
		}
	}
	if err := unstructured.SetNestedSlice(to.Object, next, path...); err != nil {
		return err
	}
	said, _, _ := unstructured.NestedStringMap(from.Object, "spec", "template", "metadata", "annotations")
	for _, name := range []string{v1alpha1.AnnotationVersion, v1alpha1.AnnotationTag, v1alpha1.AnnotationCommit, v1alpha1.AnnotationRepository} {
		if text, has := said[name]; has {
			if err := unstructured.SetNestedField(to.Object, text, "spec", "template", "metadata", "annotations", name); err != nil {
				return err
			}
		}
	}
	return nil
}

// kinds that an app file leads to, in the order in which they are best taken away.
var kinds = []schema.GroupVersionKind{
	{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"},
	gatewayapi.HTTPRouteKind, traefik.IngressRouteKind, istio.VirtualServiceKind,
	{Group: v1alpha1.Group, Version: "v1alpha1", Kind: "Rollout"},
	{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
	{Group: "", Version: "v1", Kind: "Service"},
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
	{Group: "", Version: "v1", Kind: "ServiceAccount"},
}

// gone finds what an earlier deploy has made and this one does not. What belongs to something else is not ours to delete. ConfigMaps stay: an
// older ReplicaSet may still mount them, and an undo would have to find them.
func (c *Cluster) gone(ctx context.Context, objects []*unstructured.Unstructured, pruned labels.Selector) ([]Change, error) {
	if pruned == nil {
		return nil, nil
	}
	var all []Change
	for _, kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		err := c.client.List(ctx, list, client.InNamespace(c.place.Namespace), client.MatchingLabelsSelector{Selector: pruned})
		switch {
		case meta.IsNoMatchError(err), apierrors.IsForbidden(err), apierrors.IsNotFound(err):
			continue // what this cluster or user does not know was not made by them
		case err != nil:
			return nil, explain(err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			if len(o.GetOwnerReferences()) > 0 || slices.ContainsFunc(objects, func(x *unstructured.Unstructured) bool {
				return x.GetKind() == o.GetKind() && x.GetName() == o.GetName()
			}) {
				continue
			}
			all = append(all, Change{Object: o.GetKind() + "/" + o.GetName(), What: Deleted, Before: plainYAML(o), object: o})
		}
	}
	return all, nil
}

// plainYAML is what people write, without what the cluster adds, and we do for the time of a rollout.
func plainYAML(o *unstructured.Unstructured) []byte {
	o = o.DeepCopy()
	for _, field := range [][]string{
		{"status"},
		{"metadata", "managedFields"},
		{"metadata", "resourceVersion"},
		{"metadata", "uid"},
		{"metadata", "generation"},
		{"metadata", "creationTimestamp"},
		{"metadata", "annotations", "deployment.kubernetes.io/revision"},
		{"metadata", "labels", v1alpha1.LabelHeld},
		{"metadata", "annotations", v1alpha1.AnnotationStrategy},
		{"spec", "paused"},
	} {
		unstructured.RemoveNestedField(o.Object, field...)
	}
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		return nil
	}
	return text
}
