package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/kit/kittest"
)

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  template:
    metadata: {annotations: {gapless.dev/readiness: ServeTerminating}}
    spec:
      terminationGracePeriodSeconds: 40
      containers:
        - name: proxy
          image: envoy:1
          ports: [{containerPort: 9901}]
        - name: app
          ports: [{containerPort: 53, protocol: UDP}, {name: web, containerPort: 8080}, {name: admin, containerPort: 8090}]
          env:
            - {name: GAPLESS_DRAIN, value: 10s}
            - {name: MODE, value: live}
            - {name: PASSWORD, valueFrom: {secretKeyRef: {name: s, key: k}}}
          lifecycle: {preStop: {sleep: {seconds: 5}}}
          readinessProbe: {httpGet: {path: ready, port: web}}
          livenessProbe: {httpGet: {path: /live, port: admin}}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
`

func TestDeclare_ReadsWhatAManifestSays(t *testing.T) {
	got, err := Declare("a.yaml", []byte(deployment), "")
	if err != nil {
		t.Fatal(err)
	}
	want := Declared{
		Object: "Deployment/shop/api", Container: "app", Port: 8080, Ready: Endpoint{"/ready", 8080}, Live: Endpoint{"/live", 8090},
		Grace: 40 * time.Second, PreStop: 5 * time.Second, Drain: 10 * time.Second, Readiness: kittest.ServeTerminating,
		Env:    []string{"GAPLESS_DRAIN=10s", "MODE=live"},
		Unseen: []string{"variables whose values are elsewhere: PASSWORD; give them with --env if the service needs them"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	asked := Asked{}
	asked.Declared(got)
	if asked.Port != 8080 || asked.Ready != "/ready" || asked.HealthPort != 0 || asked.Live != "" {
		t.Errorf("%+v: liveness is on another port than readiness, and must be looked for", asked)
	}
}

func TestDeclare_SaysWhatItCannotUse(t *testing.T) {
	for _, test := range []struct{ from, to, says string }{
		{"httpGet: {path: ready, port: web}", "exec: {command: [cat, /tmp/x]}", "the readinessProbe runs a command"},
		{"httpGet: {path: ready, port: web}", "httpGet: {path: /r, port: web, scheme: HTTPS}", "the readinessProbe asks over HTTPS"},
		{"sleep: {seconds: 5}", "exec: {command: [sh, -c, 'curl localhost; sleep 7']}", "does more than sleep; only the 7s"},
	} {
		got, err := Declare("a.yaml", []byte(strings.Replace(deployment, test.from, test.to, 1)), "app")
		if err != nil || !strings.Contains(strings.Join(got.Unseen, "\n"), test.says) {
			t.Errorf("%s: %v %q", test.to, err, got.Unseen)
		}
	}
	for _, test := range []struct{ text, container, says string }{
		{deployment, "web", `no container "web": there are Deployment/shop/api app`},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: a}\n", "", "no workload with a container that takes requests"},
		{"a: [", "", "a.yaml:2: not YAML"},
	} {
		if _, err := Declare("a.yaml", []byte(test.text), test.container); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: %v", test.says, err)
		}
	}
}

// FuzzDeclare: whatever comes in, nothing panics, and what comes out can be passed to a process and to a URL.
func FuzzDeclare(f *testing.F) {
	f.Add([]byte(deployment))
	files, _ := filepath.Glob("../lint/rules/*/*.yaml")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Declare("f.yaml", data, "")
		if err != nil {
			return
		}
		for _, one := range d.Env {
			if name, _, ok := strings.Cut(one, "="); !ok || name == "" || strings.ContainsRune(one, 0) {
				t.Errorf("environment %q", one)
			}
		}
		for _, e := range []Endpoint{d.Ready, d.Live} {
			if e.Path != "" && e.Path != kittest.TCP && e.Path != kittest.GRPC && !strings.HasPrefix(e.Path, "/") {
				t.Errorf("endpoint %+v", e)
			}
		}
		if d.Grace < 0 || d.PreStop < 0 || d.Drain < 0 {
			t.Errorf("%+v", d)
		}
	})
}
