package gates_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
	"gapless.dev/kit/load"
)

// customMetrics is a real API service of custom metrics: all pods that an autoscaler asks for share so many requests a second.
type customMetrics struct {
	w        *world.World
	requests atomic.Int64
	asked    atomic.Pointer[string] // whom the autoscaler asked for the last time
}

const requestRate = "requests_per_second"

func serveCustomMetrics(w *world.World) *customMetrics {
	w.Helper()
	m := &customMetrics{w: w}
	w.Aggregate("custom.metrics.k8s.io", "v1beta2", m)
	return m
}

func (m *customMetrics) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	answer := func(v any) {
		out.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(out).Encode(v)
	}
	if !strings.HasSuffix(r.URL.Path, "/pods/*/"+requestRate) {
		answer(map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "custom.metrics.k8s.io/v1beta2", "resources": []any{
			map[string]any{"name": "pods/" + requestRate, "singularName": "", "namespaced": true, "kind": "MetricValueList", "verbs": []string{"get"}},
		}})
		return
	}
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	var pods corev1.PodList
	if err := m.w.List(r.Context(), &pods, client.InNamespace(m.w.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	var names []string
	items := []any{}
	for _, p := range pods.Items {
		names = append(names, p.Name)
		items = append(items, map[string]any{
			"describedObject": map[string]any{"kind": "Pod", "namespace": p.Namespace, "name": p.Name, "apiVersion": "/v1"},
			"metric":          map[string]any{"name": requestRate}, "timestamp": time.Now().UTC().Format(time.RFC3339),
			"value": fmt.Sprintf("%dm", 1000*m.requests.Load()/int64(len(pods.Items))),
		})
	}
	m.asked.Store(new(strings.Join(names, " ")))
	answer(map[string]any{"kind": "MetricValueList", "apiVersion": "custom.metrics.k8s.io/v1beta2", "metadata": map[string]any{}, "items": items})
}

// autoscale has Kubernetes keep 100 requests/s a pod, with 3 to 9 pods, and no patience.
func autoscale(w *world.World) {
	w.Helper()
	target := resource.MustParse("100")
	world.Check(w.T, w.Create(w.Context(), &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: world.Demo, Namespace: w.Namespace},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: world.Demo},
			MinReplicas:    new(int32(3)), MaxReplicas: 9,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
				Metric: autoscalingv2.MetricIdentifier{Name: requestRate},
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &target},
			}}},
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{
				ScaleUp:   &autoscalingv2.HPAScalingRules{Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 9, PeriodSeconds: 15}}},
				ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: new(int32(0))},
			},
		},
	}))
}

// In the middle of a canary the load triples and the autoscaler goes from 3 to 9; in that moment the candidate, with half of the traffic, is
// taken back. Stable has three pods then, and must not get more than it can carry before it has nine.
func TestHPA_ThreeToNineMidwayAndAnAbortAtHalfLosesNothing(t *testing.T) {
	inASoak(t)
	w := world.New(t)
	deploy(w, 3)
	before := w.Theirs()
	w.Adopt(canary(50, "manual"))
	m := serveCustomMetrics(w)
	m.requests.Store(300)
	autoscale(w)
	quiet := w.Probing(load.Options{Rate: 100, New: 0.5, Post: 0.3, Timeout: 10 * time.Second}, func() {
		w.Set("2.0.0")
		w.Until("the step stands", func(r *v1alpha1.Rollout) bool { return r.Status.Reason == rollout.ReasonAwaitingPromote })
		rising := w.Probing(load.Options{Rate: 200, New: 0.5, Post: 0.3, Timeout: 10 * time.Second}, func() {
			m.requests.Store(1500) // more than nine pods are asked for: near 900 the autoscaler's tolerance leaves it at 8, over the pods of both versions
			w.Eventually("the autoscaler asks for 9", 3*time.Minute, func() error {
				if n := *w.Deployment().Spec.Replicas; n != 9 {
					out, _ := w.Kubectl("describe", "hpa", world.Demo)
					return fmt.Errorf("%d are asked for: %s", n, out)
				}
				return nil
			})
			if names := *m.asked.Load(); len(strings.Fields(names)) < 4 {
				t.Errorf("the autoscaler was told of %q, not of both versions", names)
			}
			w.Order(rollout.Abort)
			aborted(w, 2)
			w.Available(9)
		})
		w.NothingLost(rising)
		if rising.Versions["1.0.0"] == 0 || rising.Versions["2.0.0"] == 0 {
			t.Errorf("not both versions answered: %v", rising.Versions)
		}
	})
	w.NothingLost(quiet)
	w.Row("gates", "canary", "autoscaled 3 to 9", "", "taken back at half", quiet)
	m.requests.Store(300)
	w.Available(3)
	w.Disaggregate()
	w.SameAs(before)
	if by := orderedBy(w.Evidence(2)); by != w.User() {
		t.Errorf("the report says that %q took it back, and it was %s", by, w.User())
	}
}

// orderedBy is who ordered the last thing that was ordered.
func orderedBy(r report.Report) (by string) {
	for _, e := range r.Decisions {
		by = cmp.Or(e.By, by)
	}
	return by
}
