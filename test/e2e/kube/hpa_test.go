package kube_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// usage serves the metrics API: every pod uses so many thousandths of a processor.
func usage(w *world.World) *atomic.Int64 {
	w.Helper()
	milli := &atomic.Int64{}
	w.Aggregate("metrics.k8s.io", "v1beta1", http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		answer := func(v any) {
			out.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(out).Encode(v)
		}
		if !strings.HasSuffix(r.URL.Path, "/pods") {
			answer(map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1", "resources": []any{
				map[string]any{"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": []string{"get", "list"}},
			}})
			return
		}
		selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		var pods corev1.PodList
		if err := w.List(r.Context(), &pods, client.InNamespace(w.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
			http.Error(out, err.Error(), http.StatusInternalServerError)
			return
		}
		items := []any{}
		for _, p := range pods.Items {
			items = append(items, map[string]any{
				"metadata": map[string]any{"name": p.Name, "namespace": p.Namespace}, "timestamp": time.Now().UTC().Format(time.RFC3339), "window": "15s",
				"containers": []any{map[string]any{"name": "app", "usage": map[string]any{"cpu": fmt.Sprintf("%dm", milli.Load()), "memory": "10Mi"}}},
			})
		}
		answer(map[string]any{"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": map[string]any{}, "items": items})
	}))
	return milli
}

// TestHPA_IsFollowedMidway: while two versions stand, an autoscaler's word is carried out by the controller; before and after that by
// Kubernetes. In a soak: autoscalers take their time.
func TestHPA_IsFollowedMidway(t *testing.T) {
	if !soak {
		t.Skip("in a soak")
	}
	w := world.New(t)
	w.Deploy()
	w.PatchDeployment(`[{"op":"add","path":"/spec/template/spec/containers/0/resources","value":{"requests":{"cpu":"100m"}}}]`)
	w.Available(3)
	before := w.Theirs()
	w.Adopt(world.Canary("manual"))
	uses := usage(w)
	uses.Store(50)
	world.Check(t, w.Create(w.Context(), &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: world.Demo, Namespace: w.Namespace},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: world.Demo},
			MinReplicas:    new(int32(3)), MaxReplicas: 6,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(50))},
			}}},
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: new(int32(0))}},
		},
	}))
	replicas := func(n int32) {
		w.Eventually(fmt.Sprintf("the autoscaler asks for %d", n), 3*time.Minute, func() error {
			if got := *w.Deployment().Spec.Replicas; got != n {
				out, _ := w.Kubectl("describe", "hpa", world.Demo)
				return fmt.Errorf("%d are asked for: %s", got, out)
			}
			return nil
		})
	}
	counted := w.UnderLoad(0.5, 0.3, func() {
		w.Set("2.0.0")
		stands := func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote }
		w.Until("the step stands", stands)
		uses.Store(200)
		replicas(6)
		w.Eventually("six pods and the surge serve", time.Minute, func() error {
			if n := w.Deployment().Status.AvailableReplicas; n < 6 {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		w.Until("the step stands again", stands)
		uses.Store(10)
		replicas(3)
		w.Until("the step stands again", stands)
		w.Order(rollout.Promote)
		(&journey{World: w}).end("2.0.0")
		uses.Store(200)
		replicas(6)
		w.Available(6)
		uses.Store(10)
		replicas(3)
		w.Available(3)
	})
	w.Row("autoscaler", "canary", "prepared", world.ClusterIP, "3 to 6 to 3 midway and after", counted)
	w.NothingLost(counted)
	w.Disaggregate()
	w.SameAs(before)
}
