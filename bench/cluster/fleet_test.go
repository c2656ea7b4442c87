package cluster_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gapless.dev/gapless/test/e2e/world"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// stages are what kwok does for a kubelet: pods are ready a second after they were placed, and gone a second after they were told to end.
const stages = `kind: Stage
apiVersion: kwok.x-k8s.io/v1alpha1
metadata: {name: node-comes}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector: {matchExpressions: [{key: '.status.phase', operator: NotIn, values: [Running]}]}
  next:
    statusTemplate: |
      phase: Running
      conditions:
      {{ range NodeConditions }}
      - {type: {{ .type | Quote }}, status: {{ .status | Quote }}, reason: {{ .reason | Quote }}, message: {{ .message | Quote }}, lastHeartbeatTime: {{ Now | Quote }}, lastTransitionTime: {{ Now | Quote }}}
      {{ end }}
      allocatable: {cpu: "1000", memory: 1Ti, pods: "10000"}
      capacity: {cpu: "1000", memory: 1Ti, pods: "10000"}
---
kind: Stage
apiVersion: kwok.x-k8s.io/v1alpha1
metadata: {name: pod-comes}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: DoesNotExist}
    - {key: '.status.podIP', operator: DoesNotExist}
  delay: {durationMilliseconds: 1000}
  next:
    statusTemplate: |
      phase: Running
      podIP: {{ PodIP | Quote }}
      podIPs: [{ip: {{ PodIP | Quote }}}]
      startTime: {{ Now | Quote }}
      conditions:
      - {type: Initialized, status: "True", lastTransitionTime: {{ Now | Quote }}}
      - {type: ContainersReady, status: "True", lastTransitionTime: {{ Now | Quote }}}
      - {type: Ready, status: "True", lastTransitionTime: {{ Now | Quote }}}
      containerStatuses:
      {{ range .spec.containers }}
      - {name: {{ .name | Quote }}, image: {{ .image | Quote }}, ready: true, restartCount: 0, state: {running: {startedAt: {{ Now | Quote }}}}}
      {{ end }}
---
kind: Stage
apiVersion: kwok.x-k8s.io/v1alpha1
metadata: {name: pod-goes}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector: {matchExpressions: [{key: '.metadata.deletionTimestamp', operator: Exists}]}
  delay: {durationMilliseconds: 1000}
  next: {delete: true}
`

const fakeNodes = 10

// A fleet is many Deployments of three pods on nodes that do not exist, each with a Service.
type fleet struct {
	*world.World
	size    int
	version int
}

// TestFleet changes all Deployments of a fleet at once: natively, then by each strategy, in one run.
func TestFleet(t *testing.T) {
	out := newTable(t, fmt.Sprintf("%d Deployments of 3 replicas changed at once, on nodes of kwok", fleetSize()),
		"how", "time", "ratio to native", "CPU of the controller", "its peak memory", "started again")
	w := world.New(t)
	w.Halt() // the controller is a process of its own here, so that it can be measured
	f := &fleet{World: w, size: fleetSize()}
	f.nodes()
	f.deploy()
	native := f.change(f.rolled)
	out.row("kubectl set image, maxSurge 25 %", seconds(native), "1.00", "-", "-", "-")
	for _, s := range []struct {
		name     string
		strategy *v1alpha1.Strategy
	}{
		{"rolling", &v1alpha1.Strategy{Rolling: &v1alpha1.Rolling{}}},
		{"blue-green", world.BlueGreen()},
		{"canary, 1 step without a pause", world.Canary("0s")},
	} {
		c := f.start()
		f.adopt(s.strategy)
		c.reset()
		took := f.change(f.promoted)
		cpu, peak, again := c.used()
		out.row(s.name, seconds(took), fmt.Sprintf("%.2f", took.Seconds()/native.Seconds()), seconds(cpu), fmt.Sprintf("%d MB", peak>>20), fmt.Sprint(again))
		f.eject()
		c.stop()
	}
}

func fleetSize() int {
	if n, err := strconv.Atoi(os.Getenv("FLEET")); err == nil && n > 0 {
		return n
	}
	return 500
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// nodes runs kwok and makes its nodes.
func (f *fleet) nodes() {
	f.Helper()
	config := filepath.Join(f.TempDir(), "stages.yaml")
	world.Check(f.T, os.WriteFile(config, []byte(stages), 0o644))
	kwok := exec.Command(os.Getenv("GAPLESS_KWOK"), "--kubeconfig", os.Getenv("KUBECONFIG"), "--config", config,
		"--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", "--node-lease-duration-seconds=40", "--cidr=10.200.0.0/16")
	log, err := os.Create("kwok.log")
	world.Check(f.T, err)
	kwok.Stdout, kwok.Stderr = log, log
	world.Check(f.T, kwok.Start())
	f.Cleanup(func() { _ = kwok.Process.Kill(); _ = kwok.Wait(); log.Close() })
	for i := range fakeNodes {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("fake-%d", i), Labels: map[string]string{"type": "fake"}, Annotations: map[string]string{"kwok.x-k8s.io/node": "fake"},
		}, Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "fake", Effect: corev1.TaintEffectNoSchedule}}}}
		world.Check(f.T, f.Create(f.Context(), n))
		f.Cleanup(func() { _ = f.Delete(context.Background(), n) })
	}
	f.Eventually("the nodes are ready", time.Minute, func() error {
		var all corev1.NodeList
		world.Check(f.T, f.List(f.Context(), &all, client.MatchingLabels{"type": "fake"}))
		for _, n := range all.Items {
			if !nodeReady(&n) {
				return fmt.Errorf("%s", n.Name)
			}
		}
		return nil
	})
}

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (f *fleet) name(i int) string { return fmt.Sprintf("app-%03d", i) }

// each does something for every app, some at a time.
func (f *fleet) each(does func(i int) error) {
	f.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 20 {
		wg.Go(func() {
			for i := range next {
				if err := does(i); err != nil {
					f.Errorf("%s: %v", f.name(i), err)
				}
			}
		})
	}
	for i := range f.size {
		next <- i
	}
	close(next)
	wg.Wait()
}

func (f *fleet) deploy() {
	f.Helper()
	f.Config.QPS, f.Config.Burst = 500, 1000
	f.each(func(i int) error {
		labels := map[string]string{"app": f.name(i)}
		err := f.Create(f.Context(), &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: f.name(i), Namespace: f.Namespace},
			Spec: appsv1.DeploymentSpec{
				Replicas: new(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec: corev1.PodSpec{
						NodeSelector: map[string]string{"type": "fake"}, Tolerations: []corev1.Toleration{{Key: "fake", Operator: corev1.TolerationOpExists}},
						Containers: []corev1.Container{{
							Name: "app", Image: "app:1", Env: []corev1.EnvVar{{Name: "VERSION", Value: "0"}}, Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
							// Pods of kwok do not drain; one that has its own preStop is not held for one.
							Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 1}}},
						}},
					},
				},
			},
		})
		if err != nil {
			return err
		}
		return f.Create(f.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: f.name(i), Namespace: f.Namespace},
			Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: world.IntOrString(8080)}}},
		})
	})
	f.rolled()
}

// change gives every app another template at once, and returns how long it took until done.
func (f *fleet) change(done func()) time.Duration {
	f.Helper()
	f.version++
	patch := fmt.Appendf(nil, `[{"op":"replace","path":"/spec/template/spec/containers/0/env/0/value","value":"%d"}]`, f.version)
	began := time.Now()
	f.each(func(i int) error {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: f.Namespace, Name: f.name(i)}}
		return f.Patch(f.Context(), d, client.RawPatch(types.JSONPatchType, patch))
	})
	done()
	return time.Since(began)
}

// rolled waits until each Deployment has three pods of its template, and no others.
func (f *fleet) rolled() {
	f.Helper()
	f.Eventually("all are rolled", 15*time.Minute, func() error {
		var all appsv1.DeploymentList
		world.Check(f.T, f.List(f.Context(), &all, client.InNamespace(f.Namespace)))
		left := 0
		for _, d := range all.Items {
			if s := d.Status; s.ObservedGeneration < d.Generation || s.Replicas != 3 || s.UpdatedReplicas != 3 || s.AvailableReplicas != 3 {
				left++
			}
		}
		if left > 0 {
			return fmt.Errorf("%d are not", left)
		}
		return nil
	})
}

// promoted waits for the same, and until every Rollout is at rest with it.
func (f *fleet) promoted() {
	f.Helper()
	f.Eventually("all are promoted", 15*time.Minute, func() error {
		var all v1alpha1.RolloutList
		world.Check(f.T, f.List(f.Context(), &all, client.InNamespace(f.Namespace)))
		left := map[string]int{}
		for _, r := range all.Items {
			if r.Status.Phase != string(rollout.Idle) || r.Status.Kept != nil || len(r.Finalizers) > 0 || r.Status.Revision < 2 {
				left[r.Status.Phase+" "+r.Status.Reason]++
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
	f.rolled()
}

func (f *fleet) adopt(s *v1alpha1.Strategy) {
	f.Helper()
	f.each(func(i int) error {
		return f.Create(f.Context(), &v1alpha1.Rollout{
			ObjectMeta: metav1.ObjectMeta{Name: f.name(i), Namespace: f.Namespace}, Spec: v1alpha1.RolloutSpec{Strategy: s},
		})
	})
	f.Eventually("all are adopted", 10*time.Minute, func() error {
		var all v1alpha1.RolloutList
		world.Check(f.T, f.List(f.Context(), &all, client.InNamespace(f.Namespace)))
		left := 0
		for _, r := range all.Items {
			if r.Status.Adopted == nil || r.Status.Phase != string(rollout.Idle) {
				left++
			}
		}
		if left > 0 {
			return fmt.Errorf("%d are not", left)
		}
		return nil
	})
	time.Sleep(10 * time.Second) // what follows is at rest
}

func (f *fleet) eject() {
	f.Helper()
	world.Check(f.T, f.DeleteAllOf(f.Context(), &v1alpha1.Rollout{}, client.InNamespace(f.Namespace)))
	f.Eventually("no Rollout is left", 5*time.Minute, func() error {
		var all v1alpha1.RolloutList
		world.Check(f.T, f.List(f.Context(), &all, client.InNamespace(f.Namespace)))
		if n := len(all.Items); n > 0 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	time.Sleep(5 * time.Second)
}

// A process is the controller as it is installed: gapless controller, with its own memory and time. One that has ended, such as for a lease that it
// could not renew in time, is started again, as Kubernetes does with a pod's.
type process struct {
	f    *fleet
	log  *os.File
	ends chan struct{}

	mu      sync.Mutex
	cmd     *exec.Cmd
	stopped bool
	starts  int
	before  time.Duration // processor time of the lives before this one
	since   time.Duration // and of all until reset
	peak    int64
}

func (f *fleet) start() *process {
	f.Helper()
	log, err := os.Create("controller.log")
	world.Check(f.T, err)
	p := &process{f: f, log: log, ends: make(chan struct{})}
	world.Check(f.T, p.launch())
	f.Cleanup(p.stop)
	go p.supervise()
	return p
}

// launch begins a life.
func (p *process) launch() error {
	cmd := exec.Command(os.Getenv("GAPLESS_BIN"), "controller", "--kubeconfig", os.Getenv("KUBECONFIG"), "--lease-namespace", p.f.Namespace)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.Env = append(os.Environ(), "GOMAXPROCS=2")
	p.cmd = cmd
	p.starts++
	return cmd.Start()
}

func (p *process) supervise() {
	defer close(p.ends)
	for {
		_ = p.cmd.Wait()
		p.mu.Lock()
		usage, _ := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
		p.before += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
		if usage != nil {
			p.peak = max(p.peak, usage.Maxrss<<10)
		}
		if p.stopped || p.launch() != nil {
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
	}
}

func (p *process) stop() {
	p.mu.Lock()
	p.stopped = true
	_ = p.cmd.Process.Signal(os.Interrupt)
	p.mu.Unlock()
	<-p.ends
}

func (p *process) reset() {
	cpu, _, _ := p.all()
	p.since = cpu
}

// used is the processor time since reset, the most memory that was ever resident, and how often the controller was started again.
func (p *process) used() (cpu time.Duration, peak int64, again int) {
	cpu, peak, again = p.all()
	return cpu - p.since, peak, again
}

func (p *process) all() (cpu time.Duration, peak int64, again int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.before + p.time(), max(p.peak, p.resident()), p.starts - 1
}

// resident is the most memory that this life had; 0 when it has ended.
func (p *process) resident() int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 0
}

// time is user and system time of this life, in ticks of a hundredth of a second; 0 when it has ended.
func (p *process) time() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
