// Package world is where stories happen: a namespace on a real cluster with the demo service in it, a controller that drives, and a
// prober that counts every request. Stories run only with GAPLESS_E2E set and a KUBECONFIG, inside the network of the cluster:
// test/e2e/run sees to that.
package world

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/install"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/report"
)

// A World is a namespace with the demo service in it, on a cluster where Gapless is installed and drives.
type World struct {
	*testing.T
	client.Client
	Config    *rest.Config
	Namespace string
	// Via is the way that requests take to the Service. Default: its ClusterIP.
	Via string
	// Host is where requests go, instead of to an address of the Service.
	Host string
	// Stop ends the controller, and Stopped is closed when it has ended.
	Stop    context.CancelFunc
	Stopped chan struct{}
	// Writes counts what the controller wrote, its lease and events aside, and Requests all that it asked for, but for watches and its lease.
	Writes, Requests atomic.Int64
	// DiesBefore and DiesAfter have the controller die before or after its next write.
	DiesBefore, DiesAfter atomic.Bool
	// DiesAt has it die with the write of that number: before it arrives, or, if DiesLate, after.
	DiesAt   atomic.Int64
	DiesLate atomic.Bool

	root   *testing.T
	before atomic.Pointer[func(*http.Request)]
	said   said
	asked  atomic.Pointer[func(*http.Request)]
	life   *life
}

var installed sync.Once

// New is an empty namespace with a controller that drives in it. It goes with the test.
func New(t *testing.T) *World {
	t.Helper()
	w := Bare(t)
	installed.Do(func() { w.install() })
	w.grantLease()
	w.Start()
	return w
}

// Needed skips a test where there is no cluster.
func Needed(t *testing.T) {
	t.Helper()
	if os.Getenv("GAPLESS_E2E") == "" {
		t.Skip("needs a cluster: test/e2e/run")
	}
}

// Bare is an empty namespace on a cluster, without Gapless.
func Bare(t *testing.T) *World {
	t.Helper()
	Needed(t)
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	Check(t, err)
	config.QPS, config.Burst = 100, 200
	scheme, err := kube.Scheme()
	Check(t, err)
	c, err := client.New(config, client.Options{Scheme: scheme})
	Check(t, err)
	w := &World{T: t, root: t, Client: c, Config: config}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "story-"}}
	Check(t, c.Create(t.Context(), ns))
	w.Namespace = ns.Name
	t.Cleanup(func() {
		if t.Failed() {
			w.Dump()
			w.Row(FailedStories, "", "", "", t.Name(), report.Traffic{})
		}
		_ = c.Delete(context.Background(), ns)
	})
	return w
}

// In tells a part of the story in a test of its own.
func (w *World) In(t *testing.T) *World {
	outer := w.T
	w.T = t
	t.Cleanup(func() { w.T = outer })
	return w
}

// Root is a context that does not end with the test, for cleaning up.
func (w *World) Root() context.Context { return context.WithoutCancel(w.Context()) }

// grantLease lets the controller of this story lead by a lease of its own: stories are told side by side.
func (w *World) grantLease() {
	w.Helper()
	meta := metav1.ObjectMeta{Name: "lease", Namespace: w.Namespace}
	Check(w.T, w.Create(w.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create", "get", "update", "patch"}},
		{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
	}}))
	Check(w.T, w.Create(w.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "gapless-controller", Namespace: install.Namespace}},
	}))
}

// install applies what "gapless install" prints, but for the controller, which the stories run themselves.
func (w *World) install() {
	w.Helper()
	w.Reinstall()
	w.Eventually("the API server serves Rollouts", time.Minute, func() error {
		return w.List(w.Context(), &v1alpha1.RolloutList{})
	})
}

// Reinstall applies everything once more.
func (w *World) Reinstall() {
	w.Helper()
	ctx := context.Background()
	objects, err := install.Objects(install.Options{})
	Check(w.T, err)
	for _, o := range objects {
		if o.GetKind() == "Deployment" || o.GetKind() == "PodDisruptionBudget" {
			continue
		}
		body, err := json.Marshal(o)
		Check(w.T, err)
		if err := w.Patch(ctx, o, client.RawPatch(types.ApplyPatchType, body), client.FieldOwner("kubectl"), client.ForceOwnership); err != nil {
			w.Fatalf("install %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// Dump says what stands, for whoever reads a failure.
func (w *World) Dump() {
	w.Log("what stands after the failure:")
	r := &v1alpha1.Rollout{}
	if err := w.Get(context.Background(), types.NamespacedName{Namespace: w.Namespace, Name: Demo}, r); err == nil {
		text, _ := json.MarshalIndent(r.Status, "", " ")
		w.Logf("status: %s", text)
	}
	var sets appsv1.ReplicaSetList
	_ = w.List(context.Background(), &sets, client.InNamespace(w.Namespace))
	for _, rs := range sets.Items {
		w.Logf("%s: asked %d, ready %d, %v", rs.Name, *rs.Spec.Replicas, rs.Status.ReadyReplicas, rs.Annotations)
	}
	var pods corev1.PodList
	_ = w.List(context.Background(), &pods, client.InNamespace(w.Namespace))
	for _, p := range pods.Items {
		w.Logf("%s: %s on %s, deleted %v", p.Name, p.Status.Phase, p.Spec.NodeName, p.DeletionTimestamp)
	}
}

// Check ends the test on an error.
func Check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
