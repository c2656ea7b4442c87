package verbs

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/report"
)

// Deploy sets the image of the app's container: its tag, or all of it where version is a whole reference. It returns the status from
// right after, and what the version will be called in it.
func (c *Cluster) Deploy(ctx context.Context, app, version, container string) (report.Report, string, error) {
	r, err := c.rollout(ctx, app)
	if err != nil {
		return report.Report{}, "", err
	}
	image, changed := "", false
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		image, changed, err = c.setImage(ctx, r, version, container)
		return err
	})
	if err != nil {
		return report.Report{}, "", explain(err)
	}
	called := kube.TagOf(image)
	if s := r.Status.Stable; changed && s != nil && s.Version == called {
		called = image // another image with stable's tag is not stable
	}
	now, err := c.Status(ctx, r.Name)
	return now, called, err
}

// setImage writes the image, if it is another one.
func (c *Cluster) setImage(ctx context.Context, r *v1alpha1.Rollout, version, container string) (image string, changed bool, err error) {
	d, i, image, err := c.image(ctx, r, version, container)
	if err != nil || d.Spec.Template.Spec.Containers[i].Image == image {
		return image, false, err
	}
	// The test has the write fail where somebody has changed the list of containers meanwhile.
	at := fmt.Sprintf("/spec/template/spec/containers/%d", i)
	patch, err := json.Marshal(append([]map[string]any{
		{"op": "replace", "path": "/metadata/resourceVersion", "value": d.ResourceVersion},
		{"op": "test", "path": at + "/name", "value": d.Spec.Template.Spec.Containers[i].Name},
		{"op": "replace", "path": at + "/image", "value": image},
	}, retell(d.Spec.Template.Annotations, kube.TagOf(image))...))
	if err != nil {
		return "", false, err
	}
	return image, true, c.client.Patch(ctx, d, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner("gapless-cli"))
}

// retell has a template that says which version it is and where that comes from tell the truth of another one, which came by hand.
func retell(said map[string]string, version string) []map[string]any {
	var all []map[string]any
	for _, name := range []string{v1alpha1.AnnotationVersion, v1alpha1.AnnotationTag, v1alpha1.AnnotationCommit, v1alpha1.AnnotationRepository} {
		path := "/spec/template/metadata/annotations/" + strings.ReplaceAll(name, "/", "~1")
		switch _, has := said[name]; {
		case !has:
		case name == v1alpha1.AnnotationVersion:
			all = append(all, map[string]any{"op": "replace", "path": path, "value": version})
		default:
			all = append(all, map[string]any{"op": "remove", "path": path})
		}
	}
	return all
}

// image finds the container and says what its image is to be.
func (c *Cluster) image(ctx context.Context, r *v1alpha1.Rollout, version, container string) (*appsv1.Deployment, int, string, error) {
	d := &appsv1.Deployment{}
	key := types.NamespacedName{Namespace: r.Namespace, Name: r.Target()}
	if err := c.client.Get(ctx, key, d); apierrors.IsNotFound(err) {
		return nil, 0, "", problem("there is no Deployment %s in namespace %s, which Rollout %s is for", key.Name, key.Namespace, r.Name)
	} else if err != nil {
		return nil, 0, "", err
	}
	i, err := containerOf(d, container)
	if err != nil {
		return nil, 0, "", err
	}
	image, err := newImage(d.Spec.Template.Spec.Containers[i].Image, version)
	return d, i, image, err
}

func containerOf(d *appsv1.Deployment, asked string) (int, error) {
	all := d.Spec.Template.Spec.Containers
	if asked == "" && len(all) == 1 {
		return 0, nil
	}
	for i := range all {
		if all[i].Name == asked {
			return i, nil
		}
	}
	if asked == "" {
		return 0, problem("Deployment %s has the containers %s: say which one is to be deployed, as in --container %s", d.Name, namesOf(all), all[0].Name)
	}
	return 0, problem("--container is %q, and Deployment %s has: %s", asked, d.Name, namesOf(all))
}

func namesOf(all []corev1.Container) string {
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

var tag = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// newImage is an image with another tag, or the image that version is a whole reference of.
func newImage(present, version string) (string, error) {
	if strings.ContainsAny(version, "/:@") {
		if _, err := name.ParseReference(version); err != nil {
			return "", problem("version %q is no reference of an image: %v; give a tag such as 2.0.0, or NAME:TAG", version, err)
		}
		return version, nil
	}
	if !tag.MatchString(version) {
		return "", problem("version %q is no tag: use letters, digits, _, . and -, at most 128, such as 2.0.0", version)
	}
	base, _, _ := strings.Cut(present, "@")
	if i := strings.LastIndex(base, ":"); i > strings.LastIndex(base, "/") {
		base = base[:i]
	}
	return base + ":" + version, nil
}

// Plan tells what a deploy would do. What would be refused is its Problem.
func (c *Cluster) Plan(ctx context.Context, app, version, container string) (report.Preview, error) {
	r, err := c.rollout(ctx, app)
	if err != nil {
		return report.Preview{}, err
	}
	p, err := kube.PreviewOf(ctx, c.client, r, version)
	if err != nil {
		return report.Preview{}, explain(err)
	}
	p.On = &c.place
	d, i, image, err := c.image(ctx, r, version, container)
	var wrong *Problem
	switch {
	case asProblem(err, &wrong):
		p.Problem = wrong.Text
		return p, nil
	case err != nil:
		return p, explain(err)
	case d.Spec.Template.Spec.Containers[i].Image == image:
		p.Steps, p.Notes = nil, []string{fmt.Sprintf("The template asks for %s already: nothing would change.", image)}
		return p, nil
	}
	now, err := c.Status(ctx, app)
	if err != nil {
		return p, err
	}
	p.Notes = append([]string{fmt.Sprintf("Container %s gets the image %s.", d.Spec.Template.Spec.Containers[i].Name, image)}, p.Notes...)
	if !now.Over() && now.To != "" && now.To != version {
		p.Notes = append(p.Notes, fmt.Sprintf("A rollout to %s is under way: %s would take its place, after all traffic is back on %s.", now.To, version, now.From))
	}
	if now.Over() && now.Outcome == report.Aborted && now.To == version {
		p.Notes = append(p.Notes, fmt.Sprintf("%s was taken back before: the same template is held until gapless retry %s.", version, r.Name))
	}
	return p, nil
}

// Scale asks for a number of pods, as kubectl scale does.
func (c *Cluster) Scale(ctx context.Context, app string, n int) (report.Report, error) {
	r, err := c.rollout(ctx, app)
	if err != nil {
		return report.Report{}, err
	}
	d := &appsv1.Deployment{}
	d.Namespace, d.Name = r.Namespace, r.Target()
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n))
	if err := c.client.SubResource("scale").Patch(ctx, d, patch, client.FieldOwner("gapless-cli")); err != nil {
		return report.Report{}, explain(err)
	}
	return c.Status(ctx, r.Name)
}
