package routers_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/test/e2e/world"
)

// An edge is a real Traefik in the cluster's network, which serves the routes of one namespace.
type edge struct {
	*world.World
	url, api string
	web, ask int    // its ports, for requests and for its API
	log      string // of accesses, a JSON object a line
	empty    bool   // allowEmptyServices
	command  *exec.Cmd

	mu  sync.Mutex
	pod map[string]string // version by address, of every pod that was ever seen
}

var defined sync.Once

// newEdge is a world with a Traefik before it. empty is what Traefik is told of Services without endpoints.
func newEdge(t *testing.T, empty bool) *edge {
	t.Helper()
	w := world.New(t)
	defined.Do(func() { define(w) })
	e := &edge{World: w, empty: empty, pod: map[string]string{}}
	e.web, e.ask = freePort(t), freePort(t)
	e.url, e.api = fmt.Sprintf("http://127.0.0.1:%d/", e.web), fmt.Sprintf("http://127.0.0.1:%d", e.ask)
	e.log = filepath.Join(t.TempDir(), "access.json")
	e.start()
	t.Cleanup(e.stop)
	go e.watchPods()
	return e
}

func (e *edge) start() {
	e.Helper()
	allow := fmt.Sprintf("allowEmptyServices=%v", e.empty)
	e.command = exec.CommandContext(e.Context(), os.Getenv("TRAEFIK"),
		"--global.checkNewVersion=false", "--global.sendAnonymousUsage=false", "--log.level=FATAL", "--api.insecure=true", "--metrics.prometheus=true",
		fmt.Sprintf("--entryPoints.web.address=127.0.0.1:%d", e.web), fmt.Sprintf("--entryPoints.traefik.address=127.0.0.1:%d", e.ask),
		"--accessLog=true", "--accessLog.format=json", "--accessLog.filePath="+e.log,
		"--providers.kubernetesCRD.namespaces="+e.Namespace, "--providers.kubernetesCRD."+allow,
		"--providers.kubernetesIngress.namespaces="+e.Namespace, "--providers.kubernetesIngress.ingressClass=edge", "--providers.kubernetesIngress."+allow,
		"--providers.kubernetesIngressNGINX.watchNamespace="+e.Namespace, "--providers.kubernetesIngressNGINX.controllerClass=k8s.io/ingress-nginx",
		"--providers.kubernetesGateway.namespaces="+e.Namespace)
	e.command.Stderr, e.command.Stdout = os.Stderr, os.Stderr
	world.Check(e.T, e.command.Start())
	e.Eventually("Traefik answers", time.Minute, func() error {
		answer, err := http.Get(e.api + "/api/rawdata")
		if err == nil {
			answer.Body.Close()
		}
		return err
	})
}

// stop kills Traefik.
func (e *edge) stop() {
	_ = e.command.Process.Kill()
	_ = e.command.Wait() // killed is what it is to be
}

// freePort is one that nobody listens on now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	world.Check(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// define installs the kinds of all routers.
func define(w *world.World) {
	w.Helper()
	files := []string{filepath.Join(os.Getenv("TRAEFIK_SOURCE"), "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml")}
	more, err := filepath.Glob(filepath.Join(os.Getenv("GATEWAY_API_SOURCE"), "config/crd/standard/gateway.networking.k8s.io_*.yaml"))
	world.Check(w.T, err)
	files = append(files, more...)
	if api := os.Getenv("ISTIO_API_SOURCE"); api != "" {
		files = append(files, filepath.Join(api, "kubernetes/customresourcedefinitions.gen.yaml"))
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		world.Check(w.T, err)
		for _, o := range objects(w, string(text)) {
			if o.GetKind() == "CustomResourceDefinition" {
				apply(w, o)
			}
		}
	}
	for _, o := range objects(w, `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: traefik}
spec: {controllerName: traefik.io/gateway-controller}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: edge}
spec: {controller: traefik.io/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
`) {
		w.Eventually("defined", time.Minute, func() error {
			return w.Patch(w.Context(), o, client.RawPatch(types.ApplyPatchType, jsonOf(w, o)), client.FieldOwner("kubectl"), client.ForceOwnership)
		})
	}
}

func objects(w *world.World, text string) []*unstructured.Unstructured {
	w.Helper()
	var all []*unstructured.Unstructured
	for part := range strings.SplitSeq(text, "\n---") {
		o := &unstructured.Unstructured{}
		world.Check(w.T, yaml.Unmarshal([]byte(part), &o.Object))
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
	return all
}

func jsonOf(w *world.World, o *unstructured.Unstructured) []byte {
	w.Helper()
	text, err := o.MarshalJSON()
	world.Check(w.T, err)
	return text
}

func apply(w *world.World, o *unstructured.Unstructured) {
	w.Helper()
	world.Check(w.T, w.Patch(w.Context(), o.DeepCopy(), client.RawPatch(types.ApplyPatchType, jsonOf(w, o)), client.FieldOwner("kubectl"), client.ForceOwnership))
}

// write creates the user's objects in the story's namespace.
func (e *edge) write(text string) {
	e.Helper()
	for _, o := range objects(e.World, text) {
		o.SetNamespace(e.Namespace)
		e.Eventually("created "+o.GetKind(), time.Minute, func() error { return e.Create(e.Context(), o.DeepCopy()) })
	}
}

// asWritten is the spec, the labels and the annotations of the way's objects, as they stand.
func (e *edge) asWritten(w way) string {
	e.Helper()
	var all []any
	for _, o := range objects(e.World, w.objects) {
		is := &unstructured.Unstructured{}
		is.SetGroupVersionKind(o.GroupVersionKind())
		world.Check(e.T, e.Get(e.Context(), types.NamespacedName{Namespace: e.Namespace, Name: o.GetName()}, is))
		all = append(all, is.GetName(), is.Object["spec"], is.GetLabels(), is.GetAnnotations())
	}
	text, err := json.MarshalIndent(all, "", " ")
	world.Check(e.T, err)
	return string(text)
}

// watchPods remembers which version answers at which address.
func (e *edge) watchPods() {
	for e.Context().Err() == nil {
		var pods corev1.PodList
		if err := e.List(e.Context(), &pods, client.InNamespace(e.Namespace)); err == nil {
			e.mu.Lock()
			for _, p := range pods.Items {
				if args := p.Spec.Containers[0].Args; p.Status.PodIP != "" && len(args) > 1 {
					e.pod[p.Status.PodIP] = args[1]
				}
			}
			e.mu.Unlock()
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// A failure is one answer of Traefik that was none of the service, as its own log has it.
type failure struct {
	Status int
	// Version of the pod that it was sent to; "" where Traefik had none.
	Version string
	Router  string
}

// failures counts the answers that were not 200 and not given up by the client.
func (e *edge) failures() map[failure]int {
	e.Helper()
	f, err := os.Open(e.log)
	world.Check(e.T, err)
	defer f.Close()
	found := map[failure]int{}
	e.mu.Lock()
	defer e.mu.Unlock()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			DownstreamStatus, OriginStatus          int
			ServiceAddr, ServiceURL, RouterName     string
			RequestPath, ClientHost, StartUTC       string
			Duration, OriginDuration, OriginContent int64
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.DownstreamStatus == http.StatusOK || line.DownstreamStatus == http.StatusSwitchingProtocols {
			continue
		}
		host, _, _ := net.SplitHostPort(line.ServiceAddr)
		version := e.pod[host]
		if line.ServiceAddr == "" {
			version = "none"
		}
		found[failure{line.DownstreamStatus, version, line.RouterName}]++
	}
	return found
}

// logFailures says them in the order of their names, and returns those that a route of ours or of the user answered, for the table.
func (e *edge) logFailures() (notes []string) {
	e.Helper()
	sums := map[string]int{}
	for f, n := range e.failures() {
		e.Logf("%d answers %d, sent to %s, by %s", n, f.Status, f.Version, f.Router)
		if f.Router != "" && f.Status != 0 { // 0 is a connection that became a WebSocket
			version, _, _ := strings.Cut(f.Version, "-story")
			sums[fmt.Sprintf("answered %d, sent to %s", f.Status, version)] += n
		}
	}
	for what, n := range sums {
		notes = append(notes, fmt.Sprintf("%d %s", n, what))
	}
	slices.Sort(notes)
	return notes
}

// row adds what a way lost to the table of a soak.
func (e *edge) row(strategy, service string, w way, what string, t report.Traffic, notes ...string) {
	e.Helper()
	e.Row("through "+w.name, strategy, service, fmt.Sprintf("allowEmptyServices=%v", e.empty), what, t, notes...)
}
