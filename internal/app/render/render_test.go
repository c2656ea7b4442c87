package render

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
	"gapless.dev/gapless/internal/lint/rules"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestObjects_AreAsTheGoldenFilesSay(t *testing.T) {
	for _, name := range files(t) {
		t.Run(name, func(t *testing.T) {
			got := Text(objects(t, name, Options{}))
			golden := strings.TrimSuffix(name, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestObjects_KeepEveryRule: nothing is found by any rule, not even what is only worth knowing.
func TestObjects_KeepEveryRule(t *testing.T) {
	for _, name := range files(t) {
		for _, router := range append([]string{"", "service"}, app.Routers...) {
			if router == "service" && strings.Contains(name, "match") || router != "" && strings.Contains(name, "kubernetes") {
				continue // refused, and some of it tested below
			}
			all := objects(t, name, Options{Router: router})
			file, problems := manifest.Parse(name, []byte(Text(all)))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			for _, f := range lint.Run(rules.All, lint.NewWorld([]*manifest.File{file}, nil, nil)) {
				if f.Ignored == "" {
					t.Errorf("%s by %q: %s %s %s: %s", name, router, f.Rule, f.Object, f.Field, f.What)
				}
			}
		}
	}
}

// TestObjects_AreWhatTheirKindsKnow: no field is misspelt or in the wrong place.
func TestObjects_AreWhatTheirKindsKnow(t *testing.T) {
	for _, name := range files(t) {
		for _, o := range objects(t, name, Options{Namespace: "shop"}) {
			var into any
			switch o.Kind {
			case "ServiceAccount":
				into = &corev1.ServiceAccount{}
			case "ConfigMap":
				into = &corev1.ConfigMap{}
			case "Service":
				into = &corev1.Service{}
			case "Deployment":
				into = &appsv1.Deployment{}
			case "PodDisruptionBudget":
				into = &policyv1.PodDisruptionBudget{}
			case "HorizontalPodAutoscaler":
				into = &autoscalingv2.HorizontalPodAutoscaler{}
			case "Ingress":
				into = &networkingv1.Ingress{}
			case "Rollout":
				into = &v1alpha1.Rollout{}
			default:
				into = &map[string]any{}
			}
			if err := yaml.UnmarshalStrict([]byte(o.Text()), into); err != nil {
				t.Errorf("%s: %s: %v", name, o.ID(), err)
			}
			if !strings.Contains(o.Text(), "\n  namespace: shop\n") {
				t.Errorf("%s: %s has no namespace", name, o.ID())
			}
		}
	}
}

func TestObjects_SayWhatAClusterCannotBeGiven(t *testing.T) {
	for name, c := range map[string]struct{ file, router, want string }{
		"no image":          {"version: 1\ncommand: [./api]", "", "gapless.yaml:1: image: is missing: a cluster runs images"},
		"a free port":       {"version: 1\nimage: a\nports: {http: 0}", "", "ports.http: \"0\": takes a free port of one machine"},
		"a share of what":   {"version: 1\nimage: a\nreplicas: {min: 2, max: 3}", "", "resources.cpu: is missing"},
		"a build":           {"version: 1.0.0+b7\nimage: a:{version}", "", "version: \"1.0.0+b7\": holds a +"},
		"a helper":          {"version: 1\nimage: a\nhelpers: [{name: h, command: [./h]}]", "", "helpers[0].image: is missing"},
		"a match, no route": {"version: 1\nimage: a\nstrategy: {canary: {steps: [{match: {header: {a: b}}}]}}", "", "steps[0].match: needs a router"},
		"a mirror":          {"version: 1\nimage: a\nroute: {host: a.example.org}\nstrategy: {canary: {steps: [{mirror: 5}]}}", "service", "steps[0].mirror: needs a router"},
		"a folder":          {"version: 1\nimage: a\nfollow: {repository: .}", "", "follow.repository: \".\": is a folder of one machine"},
		"no gateway":        {"version: 1\nimage: a\nroute: {host: a.example.org}", "gatewayapi", "route.gateway: is missing"},
	} {
		f, err := app.Parse("gapless.yaml", []byte("name: a\n"+c.file))
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err = Objects(f, "gapless.yaml", Options{Router: c.router}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func files(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(all) == 0 {
		t.Fatal("no app files", err)
	}
	return all
}

func objects(t *testing.T, name string, o Options) []Object {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := app.Parse(name, text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.Apps {
		if o.Router == "gatewayapi" && f.Apps[i].Route.Gateway == "" {
			f.Apps[i].Route.Gateway = "infra/public"
		}
	}
	all, err := Objects(f, name, o)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
