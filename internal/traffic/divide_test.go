package traffic_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gapless.dev/gapless/internal/traffic"
	"gapless.dev/gapless/internal/traffic/traefik"
)

func appOf(services ...string) traffic.App {
	app := traffic.App{Namespace: "shop", Name: "demo-api"}
	for _, name := range services {
		app.Services = append(app.Services, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return app
}

// listOf reads "a:9 b" as backends with and without a weight.
func listOf(text string) []any {
	var list []any
	for f := range strings.FieldsSeq(text) {
		name, weight, has := strings.Cut(f, ":")
		entry := map[string]any{"name": name, "port": int64(80)}
		if has {
			n := int64(0)
			fmt.Sscan(weight, &n)
			entry["weight"] = n
		}
		list = append(list, entry)
	}
	return list
}

func textOf(list []any) string {
	var parts []string
	for _, raw := range list {
		entry := raw.(map[string]any)
		text := entry["name"].(string)
		if w, has := entry["weight"]; has {
			text += fmt.Sprintf(":%v", w)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

func TestWeighList_GivesTheTwinsTheirShareAndOthersWhatTheyHad(t *testing.T) {
	for _, tt := range []struct {
		list  string
		twins int
		want  string
	}{
		{"api", 25, "api:75 api-candidate:25"},
		{"api:7", 1, "api:99 api-candidate:1"},
		{"api", 100, "api-candidate:100"},
		{"web api", 25, "web:4 api:3 api-candidate:1"},
		{"web:9 api:1", 25, "web:36 api:3 api-candidate:1"},
		{"web:9 api:1", 100, "web:9 api-candidate:1"},
		{"web:9 api:1", 1, "web:900 api:99 api-candidate:1"},
		{"web api:0", 50, "web:1 api:0"},
		{"api grpc", 50, "api:1 api-candidate:1 grpc:1 grpc-candidate:1"},
		{"web", 50, "web"},
		{"api-candidate api:3", 50, "api-candidate api:3"},
	} {
		app := appOf("api", "grpc")
		if got := textOf(traffic.WeighList(traefik.IngressRoute{}, app, listOf(tt.list), tt.twins)); got != tt.want {
			t.Errorf("%d %% of %q: %q, want %q", tt.twins, tt.list, got, tt.want)
		}
	}
}
