package kube

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

func TestNoteImages_KeepsWhatRan(t *testing.T) {
	pod := func(images ...string) *corev1.Pod {
		p := &corev1.Pod{}
		for i := 0; i < len(images); i += 2 {
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: images[i], ImageID: images[i+1]})
		}
		return p
	}
	r := report.Report{From: "one", To: "two"}
	noteImages(&r, map[rollout.Version][]*corev1.Pod{"one": {pod("app", "")}, "other": {pod("app", "x@sha256:0")}})
	if r.Images != nil {
		t.Errorf("of nothing: %v", r.Images)
	}
	noteImages(&r, map[rollout.Version][]*corev1.Pod{
		"one": {pod("app", "docker-pullable://x@sha256:1", "mesh", "m@sha256:9"), pod("mesh", "m@sha256:9", "app", "docker-pullable://x@sha256:1")},
		"two": {pod("app", "x@sha256:2")},
	})
	noteImages(&r, map[rollout.Version][]*corev1.Pod{"one": {pod("app", "x@sha256:1")}})
	want := map[string][]string{"one": {"app x@sha256:1", "mesh m@sha256:9"}, "two": {"app x@sha256:2"}}
	if d := cmp.Diff(want, r.Images); d != "" {
		t.Error(d)
	}
}
