package kube

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// A Preview is what a Rollout that does not exist yet would do.
type Preview struct {
	Plan     rollout.Plan          `json:"plan"`
	Replicas int                   `json:"replicas"`
	Services []string              `json:"services"`
	Steps    []rollout.PlannedStep `json:"steps"`
	// Risks are whole sentences: what is to be known before.
	Risks []string `json:"risks,omitempty"`
}

// PreviewOf looks at the Deployment that a Rollout is for. Nothing is written.
func PreviewOf(ctx context.Context, c client.Client, r *v1alpha1.Rollout) (Preview, error) {
	l := &look{rollout: r, deploy: &unstructured.Unstructured{}}
	l.deploy.SetGroupVersionKind(deploymentKind)
	if err := c.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: r.Target()}, l.deploy); err != nil {
		return Preview{}, err
	}
	a := &App{Client: c, Key: client.ObjectKeyFromObject(r)}
	if err := a.lookAtSets(ctx, l); err != nil {
		return Preview{}, err
	}
	if err := a.lookAtPods(ctx, l); err != nil {
		return Preview{}, err
	}
	if err := a.lookAtTraffic(ctx, l); err != nil {
		return Preview{}, err
	}
	l.state.Stable = l.wanted
	plan := planOf(l)
	if err := plan.Validate(); err != nil {
		return Preview{}, err
	}
	p := Preview{Plan: plan, Replicas: l.replicas, Risks: l.risks(plan)}
	for _, s := range l.pins.Services {
		p.Services = append(p.Services, s.Name)
	}
	stable := "the present version"
	if s := l.versionStatus(l.wanted); s != nil {
		stable = s.Version
	}
	p.Steps = plan.Preview(rollout.Version(stable), "the next version", l.replicas)
	return p, nil
}

// risks of rolling the Deployment as it is.
func (l *look) risks(plan rollout.Plan) []string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if len(l.pins.Services) == 0 {
		say("No Service leads to the pods: Gapless sees that they are ready, and moves no traffic.")
	}
	containers, _, _ := unstructured.NestedSlice(l.deploy.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		container, _ := c.(map[string]any)
		if _, has := container["readinessProbe"]; !has {
			say("Container %v has no readinessProbe: it is sent requests from the moment in which it starts.", container["name"])
		}
	}
	if l.replicas == 1 {
		say("With 1 replica the share of a canary is 0, 50 or 100 %%, and the end of the node is the end of the service.")
	}
	if askedFor(l) == rollout.Rolling && plan.Strategy == rollout.BlueGreen {
		say("The pods that run now have no preStop of their own, so the first rollout is a blue-green one. From then on pods are born with a drain, and Kubernetes itself rolls them.")
	}
	if plan.Strategy == rollout.Recreate {
		say("recreate has a gap: nothing serves between the two versions.")
	}
	if plan.Strategy == rollout.Canary && l.bornWithoutDrain() {
		say("The pods that run now have no preStop of their own, so in the first canary all of them stay beside the candidate's until they are out of the Service, and its shares are not quite those asked for.")
	}
	if plan.Strategy == rollout.BlueGreen {
		say("For the time of a rollout there is room needed for %d pods more.", l.replicas)
	}
	say("Requests on connections that clients keep open are not moved by a Service. A service that just dies on SIGTERM loses some of them; one that is prepared does not.")
	return all
}
