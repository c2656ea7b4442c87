package kube

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// PreviewOf tells what a rollout of the Deployment would do that a Rollout is for, whether that exists already or not. wanted is what the next
// version is called. Nothing is written.
func PreviewOf(ctx context.Context, c client.Client, r *v1alpha1.Rollout, wanted string) (report.Preview, error) {
	l := &look{rollout: r, deploy: &unstructured.Unstructured{}}
	l.deploy.SetGroupVersionKind(deploymentKind)
	if err := c.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: r.Target()}, l.deploy); err != nil {
		return report.Preview{}, err
	}
	a := &App{Client: c, Key: client.ObjectKeyFromObject(r), LooksOn: true}
	if err := a.lookAtSets(ctx, l); err != nil {
		return report.Preview{}, err
	}
	if err := a.lookAtPods(ctx, l); err != nil {
		return report.Preview{}, err
	}
	if err := a.lookAtTraffic(ctx, l); err != nil {
		return report.Preview{}, err
	}
	l.state.Stable = l.wanted
	if s := r.Status.Stable; s != nil {
		l.state.Stable = rollout.Version(s.Hash)
	}
	plan := planOf(l)
	if err := plan.Validate(); err != nil {
		return report.Preview{}, err
	}
	if err := l.router.Check(plan); err != nil {
		return report.Preview{}, err
	}
	if text := l.contradicts(); text != "" {
		return report.Preview{}, &Refusal{v1alpha1.ReasonAnotherStrategy, text}
	}
	room, err := a.roomFor(ctx, l, plan)
	if err != nil {
		return report.Preview{}, err
	}
	p := report.Preview{App: r.Name, Plan: plan, Replicas: l.replicas, Notes: slices.Concat(l.risks(plan), room), Stable: "the present version", Wanted: rollout.Version(wanted)}
	for _, s := range l.pins.Services {
		p.Services = append(p.Services, s.Name)
	}
	if s := l.versionStatus(l.state.Stable); s != nil {
		p.Stable = rollout.Version(s.Version)
	}
	p.Steps = plan.Preview(p.Stable, p.Wanted, l.replicas)
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
	byShare := plan.Split == rollout.ByShare
	if l.replicas == 1 && byShare {
		say("With 1 replica the share of a canary is 0, 50 or 100 %%, and the end of the node is the end of the service.")
	}
	if askedFor(l) == rollout.Rolling && plan.Strategy == rollout.BlueGreen {
		say("The pods that run now have no preStop of their own, so the first rollout is a blue-green one. From then on pods are born with a drain, and Kubernetes itself rolls them.")
	}
	if plan.Strategy == rollout.Recreate {
		say("recreate has a gap: nothing serves between the two versions.")
	}
	if plan.Strategy == rollout.Canary && byShare && l.bornWithoutDrain() {
		say("The pods that run now have no preStop of their own, so in the first canary all of them stay beside the candidate's until they are out of the Service, and its shares are not quite those asked for.")
	}
	if !byShare {
		say("Only what comes through the route is divided: whoever calls a Service of the app from inside the cluster stays with the version that serves until the next one has all traffic.")
		return all
	}
	say("Requests on connections that clients keep open are not moved by a Service. A service that just dies on SIGTERM loses some of them; one that is prepared does not.")
	return all
}
