package kube_test

import (
	"fmt"
	"testing"

	"gapless.dev/gapless/test/e2e/world"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
)

// TestServices_OfEveryShape: what a Service may be beside the usual.
func TestServices_OfEveryShape(t *testing.T) {
	t.Parallel()
	for _, shape := range []struct {
		name  string
		patch string // of the Service
		host  string // where requests go, if not to its address
		also  bool   // a second Service leads to the pods
		first bool   // told in every run
	}{
		{name: "two Services", also: true, first: true},
		{name: "session affinity", patch: `{"spec":{"sessionAffinity":"ClientIP"}}`},
		{name: "publishNotReadyAddresses", patch: `{"spec":{"publishNotReadyAddresses":true}}`},
		{name: "headless", host: "headless.%s.svc.cluster.local:8080"},
	} {
		if !shape.first && !soak {
			continue
		}
		for name, s := range map[string]*v1alpha1.Strategy{"canary": world.Canary("3s"), "blue-green": world.BlueGreen()} {
			t.Run(shape.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				w := world.New(t)
				w.Deploy()
				if shape.patch != "" {
					world.Check(t, w.Patch(w.Context(), w.Service(), client.RawPatch(types.MergePatchType, []byte(shape.patch))))
				}
				if shape.also || shape.host != "" {
					second := mineService(w)
					second.Name = "second"
					if shape.host != "" {
						second.Name, second.Spec.ClusterIP = "headless", corev1.ClusterIPNone
					}
					world.Check(t, w.Create(w.Context(), second))
				}
				if shape.host != "" {
					w.Host = fmt.Sprintf(shape.host, w.Namespace)
				}
				w.Adopt(s)
				before := w.Theirs()
				for _, version := range []string{"2.0.0", "3.0.0"} {
					counted := w.UnderLoad(0.5, 0.3, func() { rolled(w, version) })
					w.Row("services", name, "prepared", shape.name, "rollout", counted)
					w.NothingLost(counted)
					w.SameAs(before)
				}
			})
		}
	}
}

// TestRefused: what cannot be rolled is said in a condition, and nothing of it is touched.
func TestRefused_SaysWhy(t *testing.T) {
	t.Parallel()
	w := world.New(t)
	w.Deploy()
	before := w.Theirs()

	// Pods of somebody else behind the same Service.
	stranger := mine(w, "1.0.0")
	stranger.Name, stranger.ResourceVersion = "stranger", ""
	stranger.Spec.Replicas = new(int32(1))
	stranger.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": world.Demo, "who": "stranger"}}
	stranger.Spec.Template.Labels = map[string]string{"app": world.Demo, "who": "stranger"}
	world.Check(t, w.Create(w.Context(), stranger))
	w.MustKubectl("rollout", "status", "deploy/stranger", "--timeout=60s")
	make := func(name, target string, s *v1alpha1.Strategy) {
		r := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.Namespace}, Spec: v1alpha1.RolloutSpec{
			TargetRef: &v1alpha1.TargetRef{Name: target}, Strategy: s,
		}}
		world.Check(t, w.Create(w.Context(), r))
	}
	refused := func(name, reason string) {
		t.Helper()
		w.Condition(name, v1alpha1.ConditionAdopted, metav1.ConditionFalse, reason)
	}
	make("first", world.Demo, world.BlueGreen())
	refused("first", v1alpha1.ReasonServiceShared)
	w.SameAs(before)
	world.Check(t, w.Delete(w.Context(), stranger))
	w.Condition("first", v1alpha1.ConditionAdopted, metav1.ConditionTrue, v1alpha1.ReasonAdopted)

	// A second Rollout of the same Deployment; when the first goes, it takes over.
	make("second", world.Demo, world.BlueGreen())
	refused("second", v1alpha1.ReasonTargetTaken)
	world.Check(t, w.Delete(w.Context(), &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Name: "first", Namespace: w.Namespace}}))
	w.Condition("second", v1alpha1.ConditionAdopted, metav1.ConditionTrue, v1alpha1.ReasonAdopted)

	// A Deployment that is not there, and a Service that is not.
	make("nowhere", "nowhere", nil)
	refused("nowhere", v1alpha1.ReasonTargetNotFound)
	r := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Name: "no-service", Namespace: w.Namespace}, Spec: v1alpha1.RolloutSpec{
		TargetRef: &v1alpha1.TargetRef{Name: "owned"}, Services: []string{"absent"},
	}}
	owned := mine(w, "1.0.0")
	owned.Name, owned.ResourceVersion = "owned", ""
	owned.Spec.Replicas = new(int32(0))
	owned.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"who": "owned"}}
	owned.Spec.Template.Labels = map[string]string{"who": "owned"}
	owned.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(w.Deployment(), v1alpha1.GroupVersion.WithKind("Operator"))}
	world.Check(t, w.Create(w.Context(), owned))
	world.Check(t, w.Create(w.Context(), r))
	refused("no-service", v1alpha1.ReasonServiceMissing)
	make("owned", "owned", world.BlueGreen())
	refused("owned", v1alpha1.ReasonTargetOwned)
}
