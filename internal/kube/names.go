package kube

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// budgetName names the PodDisruptionBudget of ours.
func budgetName(r *v1alpha1.Rollout) string { return r.Name + "-gapless" }

// previewName names the Service that leads to the candidate. A pod that its slices show is known to whoever computes the slices of the
// user's Services.
func previewName(r *v1alpha1.Rollout) string { return r.Name + "-preview" }

// versionStatus is a version as people know it: by the tag of its image.
func (l *look) versionStatus(v rollout.Version) *v1alpha1.VersionStatus {
	if v == "" {
		return nil
	}
	out := &v1alpha1.VersionStatus{Hash: string(v), Version: string(v)}
	var template map[string]any
	if s, ok := l.set(v); ok {
		out.UID, out.Template = string(s.GetUID()), string(hashOf(s.template))
		template, _, _ = unstructured.NestedMap(s.Object, "spec", "template")
	} else if v == l.wanted {
		out.Template = string(hashOf(l.template))
		template, _, _ = unstructured.NestedMap(l.deploy.Object, "spec", "template")
	}
	if tag := tagOf(template); tag != "" {
		out.Version = tag
	} else if name := l.rememberedName(v); name != "" {
		out.Version = name
	}
	return out
}

// rememberedName is what a version was called of which nothing is left.
func (l *look) rememberedName(v rollout.Version) string {
	for _, s := range []*v1alpha1.VersionStatus{l.rollout.Status.Stable, l.rollout.Status.Candidate} {
		if s != nil && s.Hash == string(v) {
			return s.Version
		}
	}
	return ""
}

// versionStatuses adds a part of the hash where both versions have the same tag.
func (l *look) versionStatuses(stable, candidate rollout.Version) (s, c *v1alpha1.VersionStatus) {
	s, c = l.versionStatus(stable), l.versionStatus(candidate)
	if s != nil && c != nil && s.Version == c.Version {
		s.Version, c.Version = s.Version+"-"+short(s.Hash), c.Version+"-"+short(c.Hash)
	}
	return s, c
}

func short(hash string) string { return hash[:min(4, len(hash))] }

// tagOf is the tag of the first container's image, or the beginning of its digest.
func tagOf(template map[string]any) string {
	containers, _, _ := unstructured.NestedSlice(template, "spec", "containers")
	if len(containers) == 0 {
		return ""
	}
	first, _ := containers[0].(map[string]any)
	image, _ := first["image"].(string)
	image, digest, pinned := strings.Cut(image, "@sha256:")
	name := image[strings.LastIndex(image, "/")+1:]
	if _, tag, found := strings.Cut(name, ":"); found {
		return tag
	}
	if pinned {
		return digest[:min(12, len(digest))]
	}
	return name
}

// TagOf is what people call the version of an image.
func TagOf(image string) string {
	return tagOf(map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": image}}}})
}
