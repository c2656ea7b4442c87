package routers_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/test/e2e/world"
)

func TestReferences_ThatAreBadAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	e := newEdge(t, false)
	e.Deploy()
	e.write(`
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: other}
spec: {routes: [{match: PathPrefix(` + "`/`" + `), kind: Rule, services: [{name: other, port: 80}]}]}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: wrong-port}
spec: {routes: [{match: PathPrefix(` + "`/`" + `), kind: Rule, services: [{name: demo-api, port: 81}]}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: plain}
spec: {ingressClassName: edge, rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: demo-api, port: {number: 80}}}}]}}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: demo}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: demo-api, port: 80}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec: {gatewayClassName: traefik, listeners: [{name: web, protocol: HTTP, port: 80}]}
`)
	canary := `"strategy":{"canary":{"steps":[{"weight":25}]}}`
	for _, tt := range []struct{ spec, reason, says, fix string }{
		{canary + `,"traffic":{"traefik":{"ingressRoute":"none"}}`, traffic.ReasonRouteMissing, "spec.traffic.traefik.ingressRoute: there is no IngressRoute none", "create it, or name another"},
		{canary + `,"traffic":{"traefik":{"ingressRoute":"other"}}`, traffic.ReasonRouteWithoutService, "leads to none of the Services of the Deployment (demo-api)", "name one of them"},
		{canary + `,"traffic":{"traefik":{"ingressRoute":"wrong-port"}}`, traffic.ReasonRouteWrongPort, "names port 81 of Service demo-api in spec.routes[0].services, and that has 80", "correct the port"},
		{canary + `,"traffic":{"ingress":"plain"}`, traffic.ReasonRouteCannot, "spec.strategy.canary: Ingress plain sends a path to one Service and knows no weights", "use blueGreen"},
		{`"strategy":{"canary":{"steps":[{"mirror":10}]}},"traffic":{"gatewayAPI":{"httpRoute":"demo"}}`, traffic.ReasonRouteCannot, "steps[0].mirror: the GatewayClass does not list HTTPRouteRequestMirror", "leave mirror out"},
	} {
		e.rollout("demo-api", tt.spec)
		e.says(tt.reason, tt.says, tt.fix)
	}
	// Two Rollouts on one route: the younger one is refused.
	e.rollout("demo-api", canary+`,"traffic":{"gatewayAPI":{"httpRoute":"demo"}}`)
	e.Until("adopted", func(r *v1alpha1.Rollout) bool {
		return meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionAdopted)
	})
	d := e.Deployment().DeepCopy()
	d.ObjectMeta = metav1.ObjectMeta{Name: "second", Namespace: e.Namespace}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "second"}}
	d.Spec.Template.Labels = d.Spec.Selector.MatchLabels
	d.Spec.Replicas = new(int32(0))
	world.Check(t, e.Create(e.Context(), d))
	e.rollout("second", canary+`,"traffic":{"gatewayAPI":{"httpRoute":"demo"}}`)
	e.saysOf("second", traffic.ReasonRouteTaken, "Rollout demo-api divides HTTPRoute demo already", "give each app a route object of its own")
}

func TestReferences_ToWhatIsNotInstalledAreRefused(t *testing.T) {
	w := world.New(t)
	crd := "ingressroutes.traefik.io"
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("apiextensions.k8s.io/v1")
	u.SetKind("CustomResourceDefinition")
	if err := w.Get(w.Context(), types.NamespacedName{Name: crd}, u); err == nil {
		t.Skip("Traefik's definitions are there already: this story must be the first")
	}
	e := &edge{World: w}
	e.Deploy()
	e.rollout("demo-api", `"strategy":{"blueGreen":{}},"traffic":{"traefik":{"ingressRoute":"demo"}}`)
	e.says(traffic.ReasonRouterNotInstalled, "spec.traffic.traefik.ingressRoute: the cluster does not know IngressRoute of traefik.io/v1alpha1", "install Traefik's definitions")
	// Once they are there it goes on by itself.
	defined.Do(func() { define(w) })
	e.write(ingressRoute.objects)
	e.Until("adopted", func(r *v1alpha1.Rollout) bool {
		return meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionAdopted)
	})
}

// rollout applies a Rollout with a spec.
func (e *edge) rollout(name, spec string) {
	e.Helper()
	u := &unstructured.Unstructured{}
	world.Check(e.T, json.Unmarshal([]byte(`{"apiVersion":"gapless.dev/v1alpha1","kind":"Rollout","spec":{`+spec+`}}`), &u.Object))
	u.SetName(name)
	u.SetNamespace(e.Namespace)
	world.Check(e.T, e.Patch(e.Context(), u.DeepCopy(), client.RawPatch(types.ApplyPatchType, jsonOf(e.World, u)), client.FieldOwner("a story"), client.ForceOwnership))
}

func (e *edge) says(reason string, texts ...string) {
	e.Helper()
	e.saysOf(world.Demo, reason, texts...)
}

// saysOf waits until the condition Adopted of a Rollout is false for a reason, in words that name the field and the fix.
func (e *edge) saysOf(name, reason string, texts ...string) {
	e.Helper()
	e.Eventually(reason, 40*time.Second, func() error {
		r := &v1alpha1.Rollout{}
		if err := e.Get(e.Context(), types.NamespacedName{Namespace: e.Namespace, Name: name}, r); err != nil {
			return err
		}
		c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionAdopted)
		if c == nil || c.Status != metav1.ConditionFalse || c.Reason != reason {
			return fmt.Errorf("%+v", c)
		}
		for _, text := range texts {
			if !strings.Contains(c.Message, text) {
				return fmt.Errorf("want %q in: %s", text, c.Message)
			}
		}
		return nil
	})
}
