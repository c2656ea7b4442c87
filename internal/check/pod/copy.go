package pod

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// outlives is how long a copy may run at most: it ends by itself if nobody is left to end it.
const outlives = 15 * time.Minute

// copyOf is the Deployment's pod without what ties it to the Deployment: its labels, and rules of where it may be placed.
func (t *Target) copyOf(env []string) *corev1.Pod {
	template := t.Deployment.Spec.Template.DeepCopy()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: short(t.Deployment.Name) + "-check-", Namespace: t.Deployment.Namespace,
			Labels: map[string]string{Label: short(t.Deployment.Name)}, Annotations: template.Annotations,
		},
		Spec: template.Spec,
	}
	seconds := int64(outlives / time.Second)
	p.Spec.ActiveDeadlineSeconds = &seconds
	p.Spec.RestartPolicy = corev1.RestartPolicyNever // how it ended is told once
	p.Spec.TopologySpreadConstraints = nil
	if p.Spec.Affinity != nil {
		p.Spec.Affinity.PodAffinity, p.Spec.Affinity.PodAntiAffinity = nil, nil
	}
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		for j := range c.Ports {
			c.Ports[j].HostPort = 0 // the serving pod has it
		}
		if c.Name != t.Container {
			continue
		}
		for _, one := range env {
			name, value, _ := strings.Cut(one, "=")
			c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
		}
	}
	return p
}

// short leaves room for the rest of a name.
func short(name string) string {
	const most = 40
	if len(name) > most {
		return strings.TrimRight(name[:most], "-.")
	}
	return name
}

// Shares says what a copy would share with the pods that serve so that both could come to harm; empty if nothing.
func Shares(d *appsv1.Deployment) string {
	for _, v := range d.Spec.Template.Spec.Volumes {
		if claim := v.PersistentVolumeClaim; claim != nil && !claim.ReadOnly {
			return fmt.Sprintf("volume claim %s, which it could write to", claim.ClaimName)
		}
	}
	if d.Spec.Template.Spec.HostNetwork {
		return "the ports of its node (hostNetwork)"
	}
	return ""
}

// Born makes the Deployment's template like the pods that it really has, where admission has given them a preStop hook that the template
// does not have. It reports whether it has.
func Born(ctx context.Context, t *Target) (bool, error) {
	selector, err := metav1.LabelSelectorAsSelector(t.Deployment.Spec.Selector)
	if err != nil {
		return false, err
	}
	ready, err := t.ready(ctx, selector)
	if err != nil || len(ready) == 0 {
		return false, err
	}
	changed := false
	containers := t.Deployment.Spec.Template.Spec.Containers
	for i := range containers {
		for _, c := range ready[len(ready)-1].Spec.Containers {
			if c.Name != containers[i].Name || c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
				continue
			}
			if containers[i].Lifecycle == nil {
				containers[i].Lifecycle = &corev1.Lifecycle{}
			}
			if containers[i].Lifecycle.PreStop == nil {
				containers[i].Lifecycle.PreStop = c.Lifecycle.PreStop
				changed = true
			}
		}
	}
	return changed, nil
}
