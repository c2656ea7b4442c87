// Package kube_test tells stories on a real cluster, each with a prober that counts every request. They run only with
// GAPLESS_E2E_KUBE=1 and a KUBECONFIG, inside the network of the cluster: test/e2e/kube/run sees to that.
package kube_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/install"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/probe"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/kit/load"
)

// image is loaded into the nodes by the script run.
const image = "api-status:e2e"

// A world is a namespace with the demo service in it, on a cluster where Gapless is installed and drives.
type world struct {
	*testing.T
	client.Client
	config    *rest.Config
	namespace string
	stop      context.CancelFunc // the controller
	stopped   chan struct{}
	writes    atomic.Int64
	// diesBefore and diesAfter have the controller die before or after its next write.
	diesBefore, diesAfter atomic.Bool
}

var installed sync.Once

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("GAPLESS_E2E_KUBE") == "" {
		t.Skip("needs a cluster: test/e2e/kube/run")
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	check(t, err)
	config.QPS, config.Burst = 100, 200
	scheme, err := kube.Scheme()
	check(t, err)
	c, err := client.New(config, client.Options{Scheme: scheme})
	check(t, err)
	w := &world{T: t, Client: c, config: config}
	installed.Do(func() { w.install() })
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "story-"}}
	check(t, c.Create(t.Context(), ns))
	w.namespace = ns.Name
	t.Cleanup(func() {
		if t.Failed() {
			w.dump()
		}
		_ = c.Delete(context.Background(), ns)
	})
	w.start()
	return w
}

// install applies what "gapless install" prints, but for the controller, which the stories run themselves.
func (w *world) install() {
	w.Helper()
	w.reinstall()
	w.eventually("the API server serves Rollouts", time.Minute, func() error {
		return w.List(w.Context(), &v1alpha1.RolloutList{})
	})
}

func (w *world) reinstall() {
	w.Helper()
	ctx := context.Background()
	objects, err := install.Objects(install.Options{})
	check(w.T, err)
	for _, o := range objects {
		if o.GetKind() == "Deployment" || o.GetKind() == "PodDisruptionBudget" {
			continue
		}
		body, err := json.Marshal(o)
		check(w.T, err)
		if err := w.Patch(ctx, o, client.RawPatch(types.ApplyPatchType, body), client.FieldOwner("kubectl"), client.ForceOwnership); err != nil {
			w.Fatalf("install %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// start runs the controller in this process, for this story's namespace.
func (w *world) start() {
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.stopped = stop, make(chan struct{})
	go func() {
		defer close(w.stopped)
		level := slog.LevelInfo
		log := slog.New(slog.NewTextHandler(testWriter{w.T}, &slog.HandlerOptions{Level: level}))
		config := rest.CopyConfig(w.config) // with the rights that install gives it, and no others
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{next, w, stop} })
		config.Impersonate.UserName = "system:serviceaccount:" + install.Namespace + ":gapless-controller"
		if err := kube.Run(ctx, kube.Options{Config: config, Namespace: w.namespace, LeaseNamespace: install.Namespace, Log: log}); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "controller:", err)
		}
	}()
	w.Cleanup(w.halt)
}

// halt stops the controller, as a rolling update of itself would.
func (w *world) halt() {
	w.stop()
	<-w.stopped
}

// counter counts what the controller writes, its lease and events aside, and can have it die with a write.
type counter struct {
	http.RoundTripper
	w    *world
	stop context.CancelFunc
}

func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || strings.Contains(r.URL.Path, "/leases") || strings.Contains(r.URL.Path, "/events") || r.URL.Query().Has("dryRun") {
		return c.RoundTripper.RoundTrip(r)
	}
	c.w.writes.Add(1)
	if c.w.diesBefore.Load() {
		c.stop()
		return nil, errors.New("the controller died before it could write")
	}
	answer, err := c.RoundTripper.RoundTrip(r)
	if c.w.diesAfter.Load() {
		c.stop()
	}
	return answer, err
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	line := string(p)
	if i := strings.Index(line, "msg="); i > 0 {
		line = time.Now().Format("15:04:05.000 ") + line[i:]
	}
	fmt.Fprint(os.Stderr, "    "+line)
	return len(p), nil
}

const demo = "demo-api"

// deploy creates the demo service in three pods and a Service, and waits until it answers.
func (w *world) deploy(args ...string) {
	w.Helper()
	labels := map[string]string{"app": demo}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: demo, Namespace: w.namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "app", Image: image, Args: append([]string{"-version", "1.0.0"}, args...),
					Ports:          []corev1.ContainerPort{{ContainerPort: 8080}},
					ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intOrString(8080)}}},
				}}},
			},
		},
	}
	check(w.T, w.Create(w.Context(), d))
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: demo, Namespace: w.namespace},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intOrString(8080)}}},
	}
	check(w.T, w.Create(w.Context(), s))
	w.eventually("three pods serve", 2*time.Minute, func() error {
		if d := w.deployment(); d.Status.AvailableReplicas < 3 {
			return fmt.Errorf("%d are available", d.Status.AvailableReplicas)
		}
		return nil
	})
}

// adopt makes the Rollout and waits until it rests.
func (w *world) adopt(s *v1alpha1.Strategy, change ...func(*v1alpha1.Rollout)) {
	w.Helper()
	r := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Name: demo, Namespace: w.namespace}, Spec: v1alpha1.RolloutSpec{Strategy: s}}
	for _, f := range change {
		f(r)
	}
	check(w.T, w.Create(w.Context(), r))
	w.rests("adopted", func(r *v1alpha1.Rollout) bool { return r.Status.Adopted != nil })
}

// set is what kubectl set image does: the template's version becomes another.
func (w *world) set(version string) {
	w.Helper()
	w.patchDeployment(fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/args/1","value":%q}]`, version))
}

func (w *world) scaleTo(n int) {
	w.Helper()
	w.patchDeployment(fmt.Sprintf(`[{"op":"replace","path":"/spec/replicas","value":%d}]`, n))
}

func (w *world) patchDeployment(patch string) {
	w.Helper()
	check(w.T, w.Patch(w.Context(), w.deployment(), client.RawPatch(types.JSONPatchType, []byte(patch))))
}

func (w *world) deployment() *appsv1.Deployment {
	w.Helper()
	d := &appsv1.Deployment{}
	check(w.T, w.Get(w.Context(), types.NamespacedName{Namespace: w.namespace, Name: demo}, d))
	return d
}

func (w *world) rollout() *v1alpha1.Rollout {
	w.Helper()
	r := &v1alpha1.Rollout{}
	check(w.T, w.Get(w.Context(), types.NamespacedName{Namespace: w.namespace, Name: demo}, r))
	return r
}

func (w *world) service() *corev1.Service {
	w.Helper()
	s := &corev1.Service{}
	check(w.T, w.Get(w.Context(), types.NamespacedName{Namespace: w.namespace, Name: demo}, s))
	return s
}

// order is what a person orders by a verb.
func (w *world) order(v rollout.Verb) {
	w.Helper()
	check(w.T, kube.Give(w.Context(), w.Client, types.NamespacedName{Namespace: w.namespace, Name: demo}, v, "a story"))
}

// rests waits until the Rollout is idle, is not in hand any more, and holds.
func (w *world) rests(what string, holds func(*v1alpha1.Rollout) bool) {
	w.Helper()
	w.until(what, func(r *v1alpha1.Rollout) bool {
		_, held := w.deployment().Annotations[v1alpha1.AnnotationHeld]
		return r.Status.Phase == string(rollout.Idle) && r.Status.Kept == nil && len(r.Finalizers) == 0 && !held && holds(r)
	})
}

func (w *world) until(what string, holds func(*v1alpha1.Rollout) bool) {
	w.Helper()
	w.eventually(what, 3*time.Minute, func() error {
		if r := w.rollout(); !holds(r) {
			return fmt.Errorf("phase %s: %s: %s", r.Status.Phase, r.Status.Reason, r.Status.Message)
		}
		return nil
	})
}

func (w *world) eventually(what string, within time.Duration, try func() error) {
	w.Helper()
	end := time.Now().Add(within)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			w.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// underLoad sends 300 requests a second to the Service's address, half on new connections, while something happens, and returns what was counted.
func (w *world) underLoad(fresh, post float64, happens func()) report.Traffic {
	w.Helper()
	return w.probing(load.Options{Rate: 300, New: fresh, Post: post, Timeout: 10 * time.Second}, happens)
}

func (w *world) probing(o load.Options, happens func()) report.Traffic {
	w.Helper()
	o.URL = "http://" + w.service().Spec.ClusterIP + "/"
	w.cleanSecond(o)
	ctx, stop := context.WithCancel(w.Context())
	p, done := probe.New(o), make(chan report.Traffic)
	go func() {
		counted, err := p.Run(ctx)
		if err != nil {
			w.Error(err)
		}
		done <- counted
	}()
	time.Sleep(2 * time.Second)
	happens()
	time.Sleep(2 * time.Second)
	stop()
	counted := <-done
	w.Logf("%d of %d lost, longest gap %s, versions %v, losses %v, p99 %s",
		counted.Lost, counted.Requests, counted.LongestGap.Duration(), counted.Versions, counted.Losses, counted.Latency.P99.Duration())
	return counted
}

// cleanSecond waits until every node routes to the pods: those of a Service that was made a moment ago are Ready before that.
func (w *world) cleanSecond(o load.Options) {
	w.Helper()
	o.Rate, o.For, o.New, o.Timeout = 50, time.Second, 1, time.Second
	w.eventually("a first second without loss", time.Minute, func() error {
		counted, err := probe.New(o).Run(w.Context())
		if err == nil && counted.Lost > 0 {
			err = fmt.Errorf("%d lost", counted.Lost)
		}
		return err
	})
}

func (w *world) nothingLost(t report.Traffic) {
	w.Helper()
	if t.Lost == 0 && t.Requests > 0 {
		return
	}
	text, _ := json.Marshal(t.Examples)
	w.Errorf("%d of %d requests lost: %v\n%s", t.Lost, t.Requests, t.Losses, text)
}

// snapshot is what the user wrote, as it stands, without what Kubernetes itself counts up.
type snapshot struct{ deployment, service, others string }

// theirs takes the parts of the objects that are the user's.
func (w *world) theirs() snapshot {
	w.Helper()
	d, s := w.deployment(), w.service()
	delete(d.Annotations, "deployment.kubernetes.io/revision")
	text := func(v ...any) string {
		b, err := json.MarshalIndent(v, "", " ")
		check(w.T, err)
		return string(b)
	}
	d.Spec.Template.Spec.Containers[0].Args[1] = "" // the version
	var sets appsv1.ReplicaSetList
	check(w.T, w.List(w.Context(), &sets, client.InNamespace(w.namespace)))
	ours := map[string]string{}
	for _, rs := range sets.Items {
		for k, v := range rs.Annotations {
			if strings.HasPrefix(k, v1alpha1.Group) {
				ours[rs.Name+" "+k] = v
			}
		}
	}
	var services corev1.ServiceList
	check(w.T, w.List(w.Context(), &services, client.InNamespace(w.namespace)))
	for _, s := range services.Items {
		if s.Name != demo {
			ours["service "+s.Name] = "stands"
		}
	}
	labels := map[string]string{}
	maps.Copy(labels, d.Labels)
	delete(labels, v1alpha1.LabelManaged)
	return snapshot{
		deployment: text(labels, d.Annotations, d.Spec), service: text(s.Labels, s.Annotations, s.Spec), others: text(ours),
	}
}

func (w *world) sameAs(before snapshot) {
	w.Helper()
	if now := w.theirs(); now != before {
		w.Errorf("at rest the objects are not what the user wrote:\n%s", cmp.Diff(before, now, cmp.AllowUnexported(snapshot{})))
	}
}

// dump says what stands, for whoever reads a failure.
func (w *world) dump() {
	r := &v1alpha1.Rollout{}
	if err := w.Get(context.Background(), types.NamespacedName{Namespace: w.namespace, Name: demo}, r); err == nil {
		text, _ := json.MarshalIndent(r.Status, "", " ")
		w.Logf("status: %s", text)
	}
	var sets appsv1.ReplicaSetList
	_ = w.List(context.Background(), &sets, client.InNamespace(w.namespace))
	for _, rs := range sets.Items {
		w.Logf("%s: asked %d, ready %d, %v", rs.Name, *rs.Spec.Replicas, rs.Status.ReadyReplicas, rs.Annotations)
	}
	var pods corev1.PodList
	_ = w.List(context.Background(), &pods, client.InNamespace(w.namespace))
	for _, p := range pods.Items {
		w.Logf("%s: %s on %s, deleted %v", p.Name, p.Status.Phase, p.Spec.NodeName, p.DeletionTimestamp)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
