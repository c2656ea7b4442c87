package kube

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// noteImages adds to a report what containers of its two versions run, by the digest that the kubelet tells. What was noted once stays: pods of a
// version that went back are gone by the end.
func noteImages(r *report.Report, pods map[rollout.Version][]*corev1.Pod) {
	for _, version := range []string{r.From, r.To} {
		images := slices.Clone(r.Images[version])
		for _, p := range pods[rollout.Version(version)] {
			for _, c := range p.Status.ContainerStatuses {
				if c.ImageID != "" {
					images = append(images, c.Name+" "+strings.TrimPrefix(c.ImageID, "docker-pullable://"))
				}
			}
		}
		if slices.Sort(images); len(images) == 0 {
			continue
		}
		if r.Images == nil {
			r.Images = map[string][]string{}
		}
		r.Images[version] = slices.Compact(images)
	}
}
