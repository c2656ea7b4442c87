package kube

import (
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/traefik"
)

func ingressRouteOf(name, service string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"routes": []any{map[string]any{
		"match": "PathPrefix(`/`)", "kind": "Rule", "services": []any{map[string]any{"name": service, "port": int64(80)}},
	}}}}}
	o.SetGroupVersionKind(traefik.IngressRouteKind)
	o.SetNamespace("shop")
	o.SetName(name)
	return o
}

// serves has old serve behind a Service with a port, as at rest.
func (d *desk) serves() {
	d.Helper()
	s := d.service("api")
	s.Spec.Ports = []corev1.ServicePort{{Port: 80}}
	if err := d.client.Update(d.Context(), s); err != nil {
		d.Fatal(err)
	}
	d.look()
	if err := d.app.Save(d.Context(), rollout.State{Phase: rollout.Idle, Stable: "old", Revision: 1}); err != nil {
		d.Fatal(err)
	}
}

// follow computes the slices of a Service from its selector, of the pods that stand.
func (d *desk) follow(name string) {
	d.Helper()
	var s corev1.Service
	if err := d.client.Get(d.Context(), client.ObjectKey{Namespace: "shop", Name: name}, &s); err != nil {
		return // not there yet
	}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: name + "-1", Namespace: "shop", Labels: map[string]string{
		discoveryv1.LabelServiceName: name, discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io",
	}}}
	if pin, has := s.Labels[v1alpha1.LabelPinned]; has {
		slice.Labels[v1alpha1.LabelPinned] = pin
	}
	_ = d.client.Delete(d.Context(), slice.DeepCopy()) // absent at first
	d.put(slice)
}

// route has the desk's Rollout divide an IngressRoute.
func (d *desk) route(name string, change func(*v1alpha1.Rollout)) {
	d.Helper()
	var r v1alpha1.Rollout
	if err := d.client.Get(d.Context(), deskKey, &r); err != nil {
		d.Fatal(err)
	}
	r.Spec.Traffic = &v1alpha1.Traffic{Traefik: &v1alpha1.TraefikRoute{IngressRoute: name}}
	if change != nil {
		change(&r)
	}
	if err := d.client.Update(d.Context(), &r); err != nil {
		d.Fatal(err)
	}
}

func TestRoute_ThatIsBadIsRefusedAndGoesOnWhenItIsMended(t *testing.T) {
	d := newDesk(t)
	d.serves()
	refused := func() string {
		t.Helper()
		var refusal *Refusal
		if _, err := d.app.Observe(t.Context()); !errors.As(err, &refusal) {
			t.Fatalf("not refused: %v", err)
		}
		return refusal.Reason
	}
	d.route("edge", nil)
	if reason := refused(); reason != traffic.ReasonRouteMissing && reason != traffic.ReasonRouterNotInstalled {
		t.Error(reason)
	}
	edge := ingressRouteOf("edge", "other")
	d.put(edge)
	if reason := refused(); reason != traffic.ReasonRouteWithoutService {
		t.Error(reason)
	}
	d.change(edge, func() { edge.Object["spec"] = ingressRouteOf("edge", "api").Object["spec"] })
	if seen := d.look(); seen.Route.Weights["old"] != 100 || seen.Route.Open || seen.Grade != rollout.Told {
		t.Errorf("at rest: %s %q", seen.Route, seen.Grade)
	}
}

func TestLeads_NoPodOfTheCandidateBeforeEachVersionHasAService(t *testing.T) {
	d := newDesk(t)
	d.serves()
	d.put(ingressRouteOf("edge", "api"))
	d.route("edge", nil)
	v := d.newTemplate()
	if err := d.app.Save(t.Context(), rollout.State{Phase: rollout.Preparing, Stable: "old", Candidate: v}); err != nil {
		t.Fatal(err)
	}
	var api, twin corev1.Service
	for range 12 {
		d.apply(rollout.Action{Kind: rollout.Scale, Version: v, Replicas: 1})
		set, made := d.app.seen.set(v)
		_ = d.client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "api"}, &api)
		stands := d.client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "api-candidate"}, &twin) == nil
		if made && set.replicas > 0 && (!stands || api.Spec.Selector[hashLabel] != "old" || twin.Spec.Selector[hashLabel] != string(v)) {
			t.Fatalf("pods of %s are asked for, and the Services lead to %v and %v", v, api.Spec.Selector, twin.Spec.Selector)
		}
		d.follow("api")
		d.follow("api-candidate")
	}
	if api.Spec.Selector[hashLabel] != "old" || twin.Spec.Selector[hashLabel] != string(v) {
		t.Errorf("the Services lead to %v and %v", api.Spec.Selector, twin.Spec.Selector)
	}
	if owners := twin.OwnerReferences; len(owners) != 1 || owners[0].Kind != "Deployment" {
		t.Errorf("the twin goes with %v, and a route may name it when the Rollout is gone", owners)
	}
}

func TestRoute_OfARevisionIsThatWhichItBeganWith(t *testing.T) {
	d := newDesk(t)
	d.serves()
	d.put(ingressRouteOf("edge", "api"))
	d.put(ingressRouteOf("another", "api"))
	d.route("edge", nil)
	v := d.newTemplate()
	if err := d.app.Save(t.Context(), rollout.State{Phase: rollout.Preparing, Stable: "old", Candidate: v}); err != nil {
		t.Fatal(err)
	}
	d.route("another", nil)
	d.look()
	if name := d.app.seen.weighted.Object.GetName(); name != "edge" {
		t.Errorf("divides %s in the middle of a revision", name)
	}
	d.route("edge", func(r *v1alpha1.Rollout) { r.Spec.Traffic.Traefik.API = "http://traefik.invalid:8080" })
	d.look()
	if api := d.app.seen.weighted.Kind.(traefik.IngressRoute).API; api == nil || !strings.Contains(api.URL, "traefik.invalid") {
		t.Error("where Traefik is asked cannot be mended")
	}
}

func TestRouters_TheirReasonsAreDocumented(t *testing.T) {
	var known []string
	for _, c := range v1alpha1.Conditions {
		known = append(known, c.Reason)
	}
	for _, reason := range []string{
		traffic.ReasonRouteMissing, traffic.ReasonRouterNotInstalled, traffic.ReasonRouteWithoutService,
		traffic.ReasonRouteWrongPort, traffic.ReasonRouteTaken, traffic.ReasonRouteCannot,
	} {
		if !slices.Contains(known, reason) {
			t.Errorf("%s is not in the table of conditions", reason)
		}
	}
	for _, r := range routers {
		if got := r.name(r.call("x")); got != "x" {
			t.Errorf("%s: %q", r.field, got)
		}
	}
}
