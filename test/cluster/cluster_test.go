//go:build linux

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets this test binary be PID 1 of a host, too, and what a test kills.
func TestMain(m *testing.M) {
	Hook()
	if name := os.Getenv("GAPLESS_CLUSTER_TEST_UP"); name != "" {
		upUntilKilled(name)
	}
	os.Exit(m.Run())
}

// needsCluster skips a test that takes root and minutes unless it was asked for.
func needsCluster(t *testing.T) context.Context {
	t.Helper()
	if os.Getenv("GAPLESS_E2E") != "1" {
		t.Skip("set GAPLESS_E2E=1 to run this as root")
	}
	return t.Context()
}

func upFor(t *testing.T, c Config) *Cluster {
	t.Helper()
	c.Say = t.Logf
	t.Cleanup(func() {
		if err := Down(c.Name); err != nil {
			t.Error(err)
		}
	})
	up, err := Up(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return up
}

func kubectl(t *testing.T, c *Cluster, args ...string) string {
	t.Helper()
	out, err := tryKubectl(t, c, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func tryKubectl(t *testing.T, c *Cluster, args ...string) (string, error) {
	out, err := c.Command(t.Context(), "kubectl", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// eventually fails the test when something is still missing after a minute.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := poll(ctx, ask); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestCluster_ServesPodsThroughEveryKindOfService(t *testing.T) {
	ctx := needsCluster(t)
	before := trace(t, "e2e")
	c := upFor(t, Config{Name: "e2e"})

	again, err := Up(ctx, Config{Name: "e2e"})
	if err != nil || again.record.Hosts[0] != c.record.Hosts[0] {
		t.Fatalf("a second up did not find the cluster that stands: %v", err)
	}
	if _, err := Up(ctx, Config{Name: "e2e", Nodes: 3}); err == nil || !strings.Contains(err.Error(), "take it down first") {
		t.Errorf("up with 3 nodes over one with 2: %v", err)
	}

	echo := filepath.Join(t.TempDir(), "echo")
	if _, err := goTool(ctx, ".", "build", "-o", echo, "./testdata/echo"); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadImage(ctx, "echo:1", echo); err != nil {
		t.Fatal(err)
	}
	kubectl(t, c, "apply", "-f", "testdata/echo.yaml")
	kubectl(t, c, "rollout", "status", "deployment/echo", "--timeout=60s")

	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: c.Dial, DisableKeepAlives: true}}
	get := func(target string) (string, error) {
		response, err := client.Get(target)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusOK {
			err = errors.New(response.Status + " " + string(body))
		}
		return string(body), err
	}
	field := func(service, path string) string {
		var value string
		eventually(t, service+" "+path, func() error {
			value = kubectl(t, c, "get", "service", service, "-o", "jsonpath="+path)
			if value == "" {
				return errors.New("not set yet")
			}
			return nil
		})
		return value
	}
	targets := map[string]string{
		"ClusterIP":          "http://" + field("echo", "{.spec.clusterIP}") + "/",
		"NodePort on node 1": "http://" + c.NodeAddress(1) + ":30080/",
		"NodePort on node 2": "http://" + c.NodeAddress(2) + ":30080/",
		"LoadBalancer":       "http://" + field("echo", "{.status.loadBalancer.ingress[0].ip}") + "/",
		"local LoadBalancer": "http://" + field("echo-local", "{.status.loadBalancer.ingress[0].ip}") + "/",
		"name":               "http://echo.default.svc.cluster.local/",
		"short name":         "http://echo/",
	}
	fetch := "http://" + strings.Fields(kubectl(t, c, "get", "pods", "-l", "app=echo", "-o", "jsonpath={.items[*].status.podIP}"))[0] + ":8080/fetch?url="
	for name, target := range targets {
		t.Run("from a pod by "+name, func(t *testing.T) {
			eventually(t, target, func() error { _, err := get(fetch + url.QueryEscape(target)); return err })
		})
		if strings.Contains(name, "name") {
			continue // names are for processes: below
		}
		t.Run("from the client by "+name, func(t *testing.T) {
			eventually(t, target, func() error { _, err := get(target); return err })
			eventually(t, target, func() error { // a pod is ready some moments before every node sends to it
				seen := map[string]bool{}
				for range 60 {
					pod, err := get(target)
					if err != nil {
						t.Fatal(err)
					}
					seen[pod] = true
				}
				if len(seen) != 3 {
					return fmt.Errorf("60 requests were answered by %d pods, want 3: %v", len(seen), seen)
				}
				return nil
			})
		})
	}
	t.Run("from a process of the client by name", func(t *testing.T) {
		out, err := c.Command(ctx, "getent", "hosts", "echo").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "echo.default.svc.cluster.local") {
			t.Errorf("getent hosts echo: %v %s", err, out)
		}
	})
	t.Run("a connection stays with its node when that takes no new ones", func(t *testing.T) {
		var kept []*http.Client
		for range 8 { // all on one node: a chance of 1 in 128
			one := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: c.Dial}}
			kept = append(kept, one)
		}
		ask := func() {
			t.Helper()
			for _, one := range kept {
				response, err := one.Get(targets["ClusterIP"])
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, response.Body) //nolint:errcheck // for its connection
				response.Body.Close()
			}
		}
		routed := func(toNode1 bool) func() error {
			return func() error {
				rules, err := c.Command(ctx, "iptables-save", "-t", "mangle").CombinedOutput()
				if err == nil && bytes.Contains(rules, []byte("--set-xmark 0x1/")) != toNode1 {
					err = errors.New(string(rules))
				}
				return err
			}
		}
		eventually(t, "node 1 takes new connections", routed(true))
		ask()
		if err := c.nodes[0].stop(ctx, "kube-proxy", 0); err != nil {
			t.Fatal(err)
		}
		eventually(t, "node 1 takes no new connections", routed(false))
		for _, one := range kept { // a new one would hide that the old one broke
			one.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("the connection was not kept")
			}
		}
		ask()
		if _, err := get(targets["ClusterIP"]); err != nil {
			t.Errorf("a new connection: %v", err)
		}
		if err := c.Restart(ctx, "node-1", "kube-proxy", 0); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("policies of the API server inject", func(t *testing.T) {
		kubectl(t, c, "apply", "-f", "testdata/policy.yaml")
		eventually(t, "injection", func() error { // the API server takes a moment to know a policy
			out, err := tryKubectl(t, c, "create", "-f", "testdata/sleepy.yaml", "--dry-run=server", "-o", "jsonpath={.spec.containers[0].lifecycle}")
			if err == nil && !strings.Contains(out, `"sleep":{"seconds":3}`) {
				err = errors.New("nothing was injected: " + out)
			}
			return err
		})
		kubectl(t, c, "create", "-f", "testdata/sleepy.yaml")
		kubectl(t, c, "wait", "--for=condition=Ready", "pod/sleepy", "--timeout=60s")
		out := kubectl(t, c, "get", "pod", "sleepy", "-o", "jsonpath={.spec.containers[0].lifecycle.preStop.sleep.seconds}")
		if out != "3" {
			t.Errorf("the pod was born with a sleep of %q s, want 3", out)
		}
	})
	t.Run("logs of a pod are read through the API server", func(t *testing.T) { kubectl(t, c, "logs", "sleepy") })
	t.Run("a component can be restarted", func(t *testing.T) {
		if err := c.Restart(ctx, "control", "kube-apiserver", 0); err != nil {
			t.Fatal(err)
		}
		eventually(t, "API server", func() error { return c.api.get(ctx, "/readyz", nil) })
	})
	kubectl(t, c, "delete", "-f", "testdata/sleepy.yaml", "-f", "testdata/policy.yaml", "-f", "testdata/echo.yaml")

	left := c.Command(ctx, "sleep", "1000") // what a test forgot in the client's network goes too
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the sleep has entered", func() error {
		if network, err := namespaceOf(left.Process.Pid); err != nil || network != c.record.Hosts[0].Netns {
			return errors.New("not yet")
		}
		return nil
	})
	if err := c.Down(); err != nil {
		t.Fatal(err)
	}
	if err := left.Wait(); err == nil {
		t.Error("a process in the client's network outlived the cluster")
	}
	before.sameNow(t, c.record)
	if err := Down("e2e"); err != nil {
		t.Errorf("a second down: %v", err)
	}
}

func TestUp_KeepsClustersApart(t *testing.T) {
	ctx := needsCluster(t)
	before := trace(t, "e2e-a")
	type result struct {
		c   *Cluster
		err error
	}
	both := make(chan result, 2)
	names := []string{"e2e-a", "e2e-b"}
	for _, name := range names {
		t.Cleanup(func() {
			if err := Down(name); err != nil {
				t.Error(err)
			}
		})
		go func() {
			c, err := Up(ctx, Config{Name: name, Nodes: 1})
			both <- result{c, err}
		}()
	}
	first, second := <-both, <-both
	if err := errors.Join(first.err, second.err); err != nil {
		t.Fatal(err)
	}
	if first.c.plan == second.c.plan {
		t.Errorf("both have the addresses of index %d", first.c.plan.index)
	}
	if err := first.c.Down(); err != nil {
		t.Fatal(err)
	}
	if err := second.c.Healthy(ctx); err != nil {
		t.Errorf("one cluster suffered when the other was taken down: %v", err)
	}
	if err := second.c.Down(); err != nil {
		t.Fatal(err)
	}
	before.sameNow(t, first.c.record, second.c.record)
}

func TestUp_NamesTheComponentThatFailedAndLeavesNothing(t *testing.T) {
	ctx := needsCluster(t)
	for component, flag := range map[string]string{
		"kube-apiserver": "--no-such-flag",
		"containerd":     "--no-such-flag",
		"kubelet":        "--no-such-flag",
		"kube-proxy":     "--no-such-flag",
	} {
		t.Run(component, func(t *testing.T) {
			before := trace(t, "e2e-f")
			_, err := Up(ctx, Config{Name: "e2e-f", Nodes: 1, Flags: map[string][]string{component: {flag}}})
			if err == nil {
				t.Fatal("up succeeded")
			}
			for _, part := range []string{component + " on ", "ended with exit status", component + ".log", "no-such-flag"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error lacks %q: %v", part, err)
				}
			}
			if err := Down("e2e-f"); err != nil {
				t.Error(err)
			}
			before.sameNow(t)
		})
	}
}

// upUntilKilled is the other process of TestUp_KilledLeavesNothing. It tells each step on its standard output.
func upUntilKilled(name string) {
	say := func(format string, _ ...any) { io.WriteString(os.Stdout, format+"\n") } //nolint:errcheck // the reader is a test
	if _, err := Up(context.Background(), Config{Name: name, Nodes: 1, Say: say}); err != nil {
		say(err.Error())
		os.Exit(1)
	}
	say("up")
	select {}
}

func TestUp_KilledLeavesNothing(t *testing.T) {
	needsCluster(t)
	for _, at := range []string{"hosts wired", "API server ready", "up"} {
		t.Run("at "+at, func(t *testing.T) {
			before := trace(t, "e2e-k")
			other := exec.Command("/proc/self/exe")
			other.Env = append(os.Environ(), "GAPLESS_CLUSTER_TEST_UP=e2e-k")
			steps, err := other.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Start(); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			for line := make([]byte, 512); !strings.Contains(said.String(), at+"\n"); {
				n, err := steps.Read(line)
				said.Write(line[:n])
				if err != nil {
					t.Fatalf("it ended before %q: %s", at, said.String())
				}
			}
			home, err := Home()
			if err != nil {
				t.Fatal(err)
			}
			r, err := readRecord(stateFolder(home, "e2e-k"))
			if err != nil {
				t.Fatal(err)
			}
			other.Process.Kill() //nolint:errcheck // waited for
			other.Wait()         //nolint:errcheck // it was killed
			eventually(t, "all of it goes by itself", func() error { return before.differences("e2e-k", r) })
			if err := Down("e2e-k"); err != nil {
				t.Error(err)
			}
			before.sameNow(t, r)
		})
	}
}
