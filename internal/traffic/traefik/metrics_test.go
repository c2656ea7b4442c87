package traefik

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gapless.dev/gapless/internal/traffic"
)

func TestCount_SumsBothSides(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		fmt.Fprint(w, `# TYPE traefik_service_request_duration_seconds histogram
traefik_service_request_duration_seconds_bucket{code="200",service="shop-api-80@kubernetescrd",le="+Inf"} 30
traefik_service_request_duration_seconds_sum{code="200",service="shop-api-80@kubernetescrd"} 3
traefik_service_request_duration_seconds_count{code="200",service="shop-api-80@kubernetescrd"} 30
traefik_service_request_duration_seconds_bucket{code="200",service="shop-api-candidate-80@kubernetescrd",le="+Inf"} 9
traefik_service_request_duration_seconds_sum{code="200",service="shop-api-candidate-80@kubernetescrd"} 0.9
traefik_service_request_duration_seconds_count{code="200",service="shop-api-candidate-80@kubernetescrd"} 9
traefik_service_request_duration_seconds_bucket{code="503",service="shop-api-candidate-80@kubernetescrd",le="+Inf"} 1
traefik_service_request_duration_seconds_sum{code="503",service="shop-api-candidate-80@kubernetescrd"} 0.1
traefik_service_request_duration_seconds_count{code="503",service="shop-api-candidate-80@kubernetescrd"} 1
traefik_service_request_duration_seconds_bucket{code="200",service="shop-web-80@kubernetescrd",le="+Inf"} 7
traefik_service_request_duration_seconds_sum{code="200",service="shop-web-80@kubernetescrd"} 7
traefik_service_request_duration_seconds_count{code="200",service="shop-web-80@kubernetescrd"} 7
`)
	}))
	defer s.Close()
	route := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"routes": []any{
		map[string]any{"match": "PathPrefix(`/`)", "services": []any{map[string]any{"name": "api", "port": int64(80)}, map[string]any{"name": "web", "port": int64(80)}}},
	}}}}
	app := traffic.App{Namespace: "shop", Services: []*corev1.Service{{ObjectMeta: metav1.ObjectMeta{Name: "api"}}}}
	theirs, twins, err := IngressRoute{API: &API{URL: s.URL}}.Count(t.Context(), route, app)
	if err != nil || theirs != (traffic.Counts{Requests: 30, Took: 3 * time.Second}) || twins != (traffic.Counts{Requests: 10, Status5xx: 1, Took: time.Second}) {
		t.Errorf("%+v %+v %v", theirs, twins, err)
	}
	if _, _, err := (IngressRoute{}).Count(t.Context(), route, app); !errors.Is(err, traffic.ErrNotCounted) {
		t.Error(err)
	}
}
