package routers_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
)

const virtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: demo, labels: {team: shop}}
spec:
  hosts: [demo-api]
  http:
  - route: [{destination: {host: demo-api, port: {number: 80}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: demo-api}
spec:
  host: demo-api
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 100}}}
`

// mesh is a world with Istio's control plane, and no proxies: what it would tell one is read back.
type mesh struct {
	*edge
	grpc int
}

func newMesh(t *testing.T) *mesh {
	t.Helper()
	w := world.New(t)
	defined.Do(func() { define(w) })
	m := &mesh{edge: &edge{World: w}, grpc: freePort(t)}
	command := exec.CommandContext(t.Context(), os.Getenv("ISTIOD"), "discovery", "--kubeconfig", os.Getenv("KUBECONFIG"),
		"--registries", "Kubernetes", "--namespace", w.Namespace,
		"--httpAddr", fmt.Sprintf("127.0.0.1:%d", freePort(t)), "--grpcAddr", fmt.Sprintf("127.0.0.1:%d", m.grpc),
		"--httpsAddr", "", "--secureGRPCAddr", "", "--monitoringAddr", fmt.Sprintf("127.0.0.1:%d", freePort(t)), "--ctrlz_port", "0",
		"--log_output_level", "default:error")
	command.Dir = t.TempDir()
	command.Env = append(os.Environ(), "POD_NAMESPACE="+w.Namespace, "POD_NAME=istiod", "ENABLE_CA_SERVER=false", "PILOT_ENABLE_ANALYSIS=false",
		"INJECTION_WEBHOOK_CONFIG_NAME=", "VALIDATION_WEBHOOK_CONFIG_NAME=")
	command.Stderr, command.Stdout = os.Stderr, os.Stderr
	world.Check(t, command.Start())
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	return m
}

// A told is one route as a proxy is told it.
type told struct {
	Domains []string
	Match   json.RawMessage
	Weights map[string]uint32
	Mirrors []json.RawMessage
	Cookies map[string]string
}

// routes are what a proxy of the namespace would be told of the demo's host.
func (m *mesh) routes() ([]told, error) {
	out, err := exec.CommandContext(m.Context(), os.Getenv("XDS"), "-at", fmt.Sprintf("127.0.0.1:%d", m.grpc), "-namespace", m.Namespace).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	var all, ours []told
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, err
	}
	for _, r := range all {
		for _, d := range r.Domains {
			if d == world.Demo {
				ours = append(ours, r)
			}
		}
	}
	return ours, nil
}

// tells waits until the last route that a proxy is told gives the candidate's host a weight.
func (m *mesh) tells(weight uint32, holds func([]told) error) {
	m.Helper()
	m.Eventually(fmt.Sprintf("Istio tells its proxies %d %%", weight), time.Minute, func() error {
		routes, err := m.routes()
		if err != nil {
			return err
		}
		if len(routes) == 0 {
			return fmt.Errorf("no route of the host")
		}
		last, got := routes[len(routes)-1], uint32(0)
		for cluster, w := range last.Weights {
			if strings.Contains(cluster, "|demo-api-candidate.") {
				got = w
			}
		}
		if got != weight {
			return fmt.Errorf("%v", last.Weights)
		}
		if holds != nil {
			return holds(routes)
		}
		return nil
	})
}

func TestIstio_TellsItsProxiesTheWeights(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.Deploy()
	m.write(virtualService)
	way := way{objects: virtualService}
	steps := []v1alpha1.Step{
		{Match: match("x-beta=yes", ""), Pause: "manual"},
		{Mirror: new(int32(20)), Pause: "manual"},
		{Match: &v1alpha1.Match{Users: new(int32(20))}, Pause: "manual"},
		{Weight: new(int32(25)), Pause: "manual"},
		{Weight: new(int32(90)), Pause: "manual"},
	}
	m.Adopt(&v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: steps}}, func(r *v1alpha1.Rollout) {
		r.Spec.Traffic = &v1alpha1.Traffic{Istio: &v1alpha1.IstioRoute{VirtualService: "demo"}}
	})
	before, route := m.Theirs(), m.asWritten(way)
	m.tells(0, nil)
	m.Set("2.0.0")
	m.at("1/5")
	m.tells(0, func(all []told) error {
		if len(all) != 2 || !strings.Contains(string(all[0].Match), "x-beta") {
			return fmt.Errorf("no route for the header: %v", all)
		}
		return nil
	})
	m.Order(rollout.Promote)
	m.at("2/5")
	m.tells(0, func(all []told) error {
		if len(all) != 2 || len(all[0].Mirrors) != 1 || !strings.Contains(string(all[0].Match), "GET|HEAD|OPTIONS") {
			return fmt.Errorf("no mirror of reads: %v", all)
		}
		return nil
	})
	m.Order(rollout.Promote)
	m.at("3/5")
	m.tells(20, func(all []told) error {
		if len(all) != 3 || len(all[2].Cookies) != 2 {
			return fmt.Errorf("users are not kept: %v", all)
		}
		return nil
	})
	for i, weight := range []uint32{25, 90} {
		m.Order(rollout.Promote)
		m.at(fmt.Sprintf("%d/5", i+4))
		m.tells(weight, nil)
	}
	m.Order(rollout.Promote)
	m.Rests("2.0.0 is stable", isStable(2))
	m.tells(0, nil)
	m.SameAs(before)
	m.sameRoute(way, route)
	proves(t, "VirtualService", toControlPlane, "weights", "header", "users", "mirror")
}
