package initialize

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/app/render"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
	"gapless.dev/gapless/internal/lint/rules"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const examples = "../../../examples"

// run runs gapless init in a folder of its own, and returns the file that it wrote and what it said.
func run(t *testing.T, o Options, in string) (text, said string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	o.File = filepath.Join(t.TempDir(), "gapless.yaml")
	err = Run(t.Context(), &shell.Shell{In: strings.NewReader(in), Out: &out, Err: &errs, Getenv: func(string) string { return "" }}, &o)
	data, _ := os.ReadFile(o.File)
	return string(data), out.String() + errs.String(), err
}

// TestInit_OfEachExampleGivesAFileThatDeploys: from its manifest and from its Dockerfile. What the file leads to is rendered, known to the kinds, as
// good by the rules as the manifest was, and runs what ran before.
func TestInit_OfEachExampleGivesAFileThatDeploys(t *testing.T) {
	var sources []string
	for _, pattern := range []string{"*/kubernetes.yaml", "kubernetes/*/app.yaml", "*/Dockerfile"} {
		found, err := filepath.Glob(filepath.Join(examples, pattern))
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, found...)
	}
	if len(sources) < 20 {
		t.Fatalf("only %d examples: %v", len(sources), sources)
	}
	for _, source := range sources {
		t.Run(strings.TrimPrefix(source, examples+"/"), func(t *testing.T) {
			text, said, err := run(t, Options{Source: source}, "")
			if err != nil && strings.Contains(err.Error(), "say which one with --name") {
				_, names, _ := strings.Cut(err.Error(), "in it, ")
				names, _, _ = strings.Cut(names, ":")
				for _, name := range strings.Split(names, ", ") {
					if text, said, err = run(t, Options{Source: source, Name: name}, ""); err != nil {
						t.Fatal(name, err, said)
					}
					rendered(t, text)
				}
				return
			}
			if err != nil {
				t.Fatal(err, said)
			}
			all := rendered(t, text)
			if strings.HasSuffix(source, ".yaml") {
				before, err := os.ReadFile(source)
				if err != nil {
					t.Fatal(err)
				}
				same(t, before, all, text)
				if was, is := found(t, source, before), found(t, "rendered", []byte(render.Text(all))); len(is) > len(was) {
					t.Errorf("before %v\nnow %v\n%s", was, is, text)
				}
			}
		})
	}
}

func rendered(t *testing.T, text string) []render.Object {
	t.Helper()
	f, err := app.Parse("gapless.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	all, err := render.Objects(f, "gapless.yaml", render.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return all
}

// found are the findings of the rules that count.
func found(t *testing.T, name string, text []byte) []string {
	t.Helper()
	file, problems := manifest.Parse(name, text)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var all []string
	for _, f := range lint.Run(rules.All, lint.NewWorld([]*manifest.File{file}, nil, nil)) {
		if f.Ignored == "" && f.Severity != lint.Info {
			all = append(all, f.Rule+" "+f.What)
		}
	}
	return all
}

// same compares what runs: image, program, ports, checks, variables, volumes, the selector, and the Service's ports.
func same(t *testing.T, before []byte, all []render.Object, file string) {
	t.Helper()
	var was, is appsv1.Deployment
	var wasService, isService corev1.Service
	for _, doc := range strings.Split(string(before), "\n---\n") {
		decode(t, doc, &was, &wasService)
	}
	for _, o := range all {
		decode(t, o.Text(), &is, &isService)
	}
	a, b := was.Spec.Template.Spec, is.Spec.Template.Spec
	c, d := a.Containers[0], b.Containers[0]
	env := func(c corev1.Container) map[string]string {
		out := map[string]string{}
		for _, e := range c.Env {
			if !given(e.Name) {
				out[e.Name] = e.Value
			}
		}
		return out
	}
	type facts struct {
		Name, Image            string
		Command, Args          []string
		Env                    map[string]string
		Volumes, Mounts, Inits int
		Grace                  int64
		Selector               map[string]string
		Service                []string
		Ready                  string
	}
	take := func(d appsv1.Deployment, s corev1.Service, p corev1.PodSpec, c corev1.Container) facts {
		f := facts{
			Name: c.Name, Image: c.Image, Command: c.Command, Args: c.Args, Env: env(c), Volumes: len(p.Volumes), Mounts: len(c.VolumeMounts),
			Inits: len(p.InitContainers), Grace: 30, Selector: d.Spec.Selector.MatchLabels,
		}
		if p.TerminationGracePeriodSeconds != nil {
			f.Grace = *p.TerminationGracePeriodSeconds
		}
		for _, port := range s.Spec.Ports {
			f.Service = append(f.Service, fmt.Sprint(port.Port))
		}
		if r := c.ReadinessProbe; r != nil {
			switch {
			case r.HTTPGet != nil:
				f.Ready = r.HTTPGet.Path
			case r.GRPC != nil:
				f.Ready = fmt.Sprint("grpc ", r.GRPC.Port)
			case r.Exec != nil:
				f.Ready = fmt.Sprint(r.Exec.Command)
			}
		}
		return f
	}
	if diff := cmp.Diff(take(was, wasService, a, c), take(is, isService, b, d)); diff != "" {
		t.Errorf("-before +now:\n%s\n%s", diff, file)
	}
}

func decode(t *testing.T, doc string, d *appsv1.Deployment, s *corev1.Service) {
	t.Helper()
	var kind struct{ Kind string }
	if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
		t.Fatal(err)
	}
	var into any
	switch kind.Kind {
	case "Deployment":
		into = d
	case "Service":
		into = s
	default:
		return
	}
	if err := yaml.UnmarshalStrict([]byte(doc), into); err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
}

func TestInit_IsAsTheGoldenFilesSay(t *testing.T) {
	for name, source := range map[string]string{"manifest": "testdata/shop.yaml", "dockerfile": "testdata/Dockerfile"} {
		text, said, err := run(t, Options{Source: source}, "")
		if err != nil {
			t.Fatal(err, said)
		}
		golden := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), text); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		rendered(t, text)
	}
}

func TestInit_Asks(t *testing.T) {
	text, said, err := run(t, Options{}, "Demo API\n./bin/api --port {port}\n\n1.0\nthree\n3\n80000\n8080\nready\n/ready\n")
	if err != nil {
		t.Fatal(err, said)
	}
	f, err := app.Parse("gapless.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	a := f.Apps[0]
	if a.Name != "demo-api" || len(a.Command) != 3 || a.Version != "1.0" || a.Replicas != 3 || a.Ports[0].Public != 8080 || a.Health.Ready.Path != "/ready" {
		t.Errorf("%+v\n%s", a, said)
	}
	for _, wrong := range []string{"give a number from 0 to 1000", "give a number from 1 to 65535", "a path begins with /"} {
		if !strings.Contains(said, wrong) {
			t.Errorf("it did not say %q:\n%s", wrong, said)
		}
	}
	if _, _, err := run(t, Options{}, "demo\n"); err == nil || !strings.Contains(err.Error(), "nobody answers") {
		t.Errorf("with nobody there: %v", err)
	}
}

func TestInit_OfAPortAsksItForItsHealth(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ready", "/livez", "/metrics":
			_, _ = io.WriteString(w, "ok")
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	text, said, err := run(t, Options{Source: strings.TrimPrefix(s.URL, "http://"), Name: "demo"}, "")
	if err != nil {
		t.Fatal(err, said)
	}
	f, err := app.Parse("gapless.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	a := f.Apps[0]
	if a.Health.Ready.Path != "/ready" || a.Health.Live.Path != "/livez" || a.Metrics.Path != "/metrics" || len(a.Command) == 0 {
		t.Errorf("%+v\n%s", a, text)
	}
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "anything") }))
	defer echo.Close()
	if text, _, err = run(t, Options{Source: strings.TrimPrefix(echo.URL, "http://"), Name: "demo"}, ""); err != nil || !strings.Contains(text, "none of the usual paths") {
		t.Errorf("a service that answers anything has no path of health: %v\n%s", err, text)
	}
}

func TestInit_SaysWhatItCannotTake(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for source, says := range map[string]string{
		"nowhere.yaml":       "there is no file nowhere.yaml",
		"nowhere/Dockerfile": "there is no file",
		"localhost:1":        "nothing answers",
		":0":                 "is not a port",
		write("service.yaml", "kind: Service\napiVersion: v1\nmetadata: {name: a}\n"): "there is no Deployment in it",
		write("no.yaml", "a: [\n"):        "this is no manifest",
		write("Dockerfile", "RUN true\n"): "it has no FROM",
		write("two.yaml", "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: a}\n---\nkind: Deployment\napiVersion: apps/v1\nmetadata: {name: b}\n"): "2 Deployments in it, a, b",
	} {
		if text, _, err := run(t, Options{Source: source}, ""); err == nil || !strings.Contains(err.Error(), says) || text != "" {
			t.Errorf("%s: %v", source, err)
		}
	}
	there := write("gapless.yaml", "mine")
	err := Run(t.Context(), &shell.Shell{}, &Options{File: there})
	if data, _ := os.ReadFile(there); err == nil || string(data) != "mine" {
		t.Errorf("a file that is there was written over: %v", err)
	}
}

// TestInit_SaysWhatStaysBeside: what leads to the pods and has another name than what the file makes is neither taken away nor forgotten.
func TestInit_SaysWhatStaysBeside(t *testing.T) {
	file := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(file, []byte(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api, team: shop}, annotations: {linkerd.io/inject: enabled}}
    spec: {containers: [{name: app, image: "api:1.0.0", ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: api-pdb}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: api}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: other-pdb}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: other}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: api-hpa}
spec: {scaleTargetRef: {kind: Deployment, name: api}, maxReplicas: 9}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec: {rules: [{backendRefs: [{name: api, port: 80}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: mesh}
spec: {hosts: [x], http: [{route: [{destination: {host: api.shop.svc.cluster.local}}]}]}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: stranger}
spec: {routes: [{match: "Host(x)", services: [{name: other, port: 80}]}]}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, said, err := run(t, Options{Source: file}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"PodDisruptionBudget api-pdb", "HorizontalPodAutoscaler api-hpa", "HTTPRoute shop", "VirtualService mesh", "linkerd.io/inject", "team"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing is said of %s:\n%s", want, said)
		}
	}
	for _, other := range []string{"other-pdb", "stranger"} {
		if strings.Contains(said, other) {
			t.Errorf("%s is nobody's of this app:\n%s", other, said)
		}
	}
}
