package following

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/follow"
	"gapless.dev/gapless/internal/follow/choose"
)

// containerOf is the index of the container that is followed for.
func containerOf(f v1alpha1.Follow, t corev1.PodTemplateSpec) (int, error) {
	for i, c := range t.Spec.Containers {
		if f.Container == "" || c.Name == f.Container {
			return i, nil
		}
	}
	return 0, choose.Wrong(choose.BadRule, "the Deployment has no container %q: spec.follow.container names one of its own", f.Container)
}

// imageOf is the image that a version means, with a tag.
func imageOf(f v1alpha1.Follow, now string, tag choose.Tag, version string) string {
	if f.Image != "" {
		return strings.NewReplacer("{version}", version, "{tag}", tag.Name).Replace(f.Image)
	}
	name, _ := split(now)
	return name + ":" + version
}

// split takes tag and digest off an image. A colon before the last slash is a port's.
func split(image string) (name, tag string) {
	name, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i], name[i+1:]
	}
	return name, ""
}

// live is the version that a template asks for: what was written down with it, if that is still what runs, else the tag of the image.
func live(f v1alpha1.Follow, t corev1.PodTemplateSpec) string {
	i, err := containerOf(f, t)
	if err != nil {
		return ""
	}
	_, tag := split(t.Spec.Containers[i].Image)
	written := t.Annotations[v1alpha1.AnnotationVersion]
	if written != "" && (tag == "" || tag == written || tag == t.Annotations[v1alpha1.AnnotationTag]) {
		return written
	}
	return strings.TrimPrefix(tag, "v")
}

// change makes a template that of a mark.
func change(f v1alpha1.Follow, t *corev1.PodTemplateSpec, m follow.Mark) error {
	i, err := containerOf(f, *t)
	if err != nil {
		return err
	}
	c := &t.Spec.Containers[i]
	c.Image = imageOf(f, c.Image, m.Tag, m.Version) + "@" + m.Digest
	if t.Annotations == nil {
		t.Annotations = map[string]string{}
	}
	for name, text := range map[string]string{
		v1alpha1.AnnotationVersion: m.Version, v1alpha1.AnnotationTag: m.Name, v1alpha1.AnnotationCommit: m.Commit, v1alpha1.AnnotationRepository: m.Repository,
	} {
		t.Annotations[name] = text
	}
	return nil
}
