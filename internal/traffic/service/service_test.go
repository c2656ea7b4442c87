package service

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"gapless.dev/gapless/internal/rollout"
)

const pinned, release = "gapless.dev/pinned", "gapless-release-"

func serviceOf(pin, label string) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "api", Namespace: "shop"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "api"}},
	}
	if pin != "" {
		s.Spec.Selector[HashKey] = pin
	}
	if label != "" {
		s.Labels = map[string]string{pinned: label}
	}
	return s
}

// sliceOf is what Kubernetes computed from a Service with the label, of pods that are named after their version.
func sliceOf(label string, pods ...string) *discoveryv1.EndpointSlice {
	e := &discoveryv1.EndpointSlice{}
	if label != "" {
		e.Labels = map[string]string{pinned: label}
	}
	for _, p := range pods {
		e.Endpoints = append(e.Endpoints, discoveryv1.Endpoint{TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: p}})
	}
	return e
}

func routerOf(s *corev1.Service, slices ...*discoveryv1.EndpointSlice) *Router {
	return &Router{
		Pinned: pinned, Release: release, Services: []*corev1.Service{s},
		Slices:  map[string][]*discoveryv1.EndpointSlice{s.Name: slices},
		Version: func(pod string) rollout.Version { return rollout.Version(pod[:2]) },
		Wrote:   func(client.Object) {},
	}
}

func TestRead_BelievesAPinWhenTheSlicesWereComputedFromIt(t *testing.T) {
	pin := rollout.Route{Weights: rollout.Weights{"v2": 100}}
	for _, tt := range []struct {
		name   string
		router *Router
		route  rollout.Route
		grade  rollout.Grade
	}{
		{"open", routerOf(serviceOf("", ""), sliceOf("", "v1-a", "v1-b", "v2-a")), rollout.Route{Open: true, Weights: rollout.Weights{"v1": 66, "v2": 34}}, rollout.Told},
		{"pinned and arrived", routerOf(serviceOf("v2", "v2"), sliceOf("v2", "v2-a")), pin, rollout.Told},
		{"slices of before the pin", routerOf(serviceOf("v2", "v2"), sliceOf("", "v1-a", "v2-a")), pin, rollout.NotYet},
		{"slices of before the pin that look right", routerOf(serviceOf("v2", "v2"), sliceOf("", "v2-a")), pin, rollout.NotYet},
		{"one of two slices is old", routerOf(serviceOf("v2", "v2"), sliceOf("v2", "v2-a"), sliceOf("v1", "v1-a")), pin, rollout.NotYet},
		{"somebody took the label away", routerOf(serviceOf("v2", ""), sliceOf("", "v2-a")), pin, rollout.NotYet},
		{"no slice yet", routerOf(serviceOf("v2", "v2")), pin, rollout.NotYet},
		{"a pod of another version is left", routerOf(serviceOf("v2", "v2"), sliceOf("v2", "v2-a", "v1-a")), pin, rollout.NotYet},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := tt.router.Read()
			if d := cmp.Diff(tt.route, seen.Route); d != "" || seen.Grade != tt.grade {
				t.Errorf("grade %q, want %q; route:\n%s", seen.Grade, tt.grade, d)
			}
			if (seen.Waits == "") != (seen.Grade != rollout.NotYet) {
				t.Errorf("grade %q and waits for %q", seen.Grade, seen.Waits)
			}
		})
	}
}

func TestRead_OfTwoServicesThatDisagreeIsNotYet(t *testing.T) {
	r := routerOf(serviceOf("v2", "v2"), sliceOf("v2", "v2-a"))
	other := serviceOf("v1", "v1")
	other.Name = "other"
	r.Services = append(r.Services, other)
	r.Slices["other"] = []*discoveryv1.EndpointSlice{sliceOf("v1", "v1-a")}
	if seen := r.Read(); seen.Grade != rollout.NotYet {
		t.Errorf("grade %q", seen.Grade)
	}
}

func TestSet_PinsAndLeavesNothingBehind(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(serviceOf("", "")).Build()
	get := func() *corev1.Service {
		s := &corev1.Service{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "api"}, s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	write := func(route rollout.Route) {
		r := routerOf(get())
		r.Client = c
		if err := r.Set(t.Context(), route); err != nil {
			t.Fatal(err)
		}
	}
	before := get()
	write(rollout.Route{Weights: rollout.Weights{"v2": 100}})
	s := get()
	if s.Spec.Selector[HashKey] != "v2" || s.Labels[pinned] != "v2" || s.Spec.Selector["app"] != "api" {
		t.Errorf("pinned: %v, labels %v", s.Spec.Selector, s.Labels)
	}
	write(rollout.Route{Open: true})
	s = get()
	if d := cmp.Diff(before.Spec, s.Spec); d != "" || len(s.Labels)+len(s.Annotations) > 0 {
		t.Errorf("left behind: labels %v, annotations %v\n%s", s.Labels, s.Annotations, d)
	}
}

func TestSet_OfWhatWasChangedMeanwhileIsAConflict(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(serviceOf("", "")).Build()
	s := &corev1.Service{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "api"}, s); err != nil {
		t.Fatal(err)
	}
	old := s.DeepCopy()
	s.Spec.Selector["tier"] = "front"
	if err := c.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	r := routerOf(old)
	r.Client = c
	if err := r.Set(t.Context(), rollout.Route{Weights: rollout.Weights{"v2": 100}}); err == nil {
		t.Error("an old reading was written over a newer Service")
	}
}

func TestSet_RefusesWhatAServiceCannotDo(t *testing.T) {
	r := routerOf(serviceOf("", ""))
	if err := r.Set(t.Context(), rollout.Route{Weights: rollout.Weights{"v1": 75, "v2": 25}}); err == nil {
		t.Error("weights were taken")
	}
}
