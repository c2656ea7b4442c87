package kube

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// sourceOf is where a version comes from, as its template says. Nil: it does not.
func (l *look) sourceOf(v rollout.Version) *report.Source {
	template, _, _ := unstructured.NestedMap(l.deploy.Object, "spec", "template")
	if s, stands := l.set(v); stands {
		template, _, _ = unstructured.NestedMap(s.Object, "spec", "template")
	} else if v != l.wanted {
		return nil
	}
	said, _, _ := unstructured.NestedStringMap(template, "metadata", "annotations")
	if said[v1alpha1.AnnotationTag] == "" {
		return nil
	}
	out := &report.Source{Repository: said[v1alpha1.AnnotationRepository], Tag: said[v1alpha1.AnnotationTag], Commit: said[v1alpha1.AnnotationCommit]}
	if f := l.rollout.Status.Follow; f != nil && f.Live != nil && f.Live.Commit == out.Commit && f.Live.Tag == out.Tag {
		out.Digest, out.SignedBy = f.Live.Digest, f.Live.SignedBy
	}
	return out
}

// followed adds to a report what following has come to: where the version is from, and why there is no newer one.
func followed(now *report.Report, r *v1alpha1.Rollout) {
	f := r.Status.Follow
	if f == nil || r.Spec.Follow == nil {
		return
	}
	if l := f.Live; now.Source == nil && l != nil && l.Version == strings.TrimPrefix(now.To, "v") {
		now.Source = &report.Source{Repository: l.Repository, Tag: l.Tag, Commit: l.Commit, Digest: l.Digest, SignedBy: l.SignedBy}
	}
	if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionFollowing); c != nil && (c.Status == metav1.ConditionFalse || f.Awaited != nil) {
		now.Notes = append(now.Notes, "Following "+r.Spec.Follow.Repository+": "+c.Message+".")
	}
}
