package verbs

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

var key = types.NamespacedName{Namespace: "shop", Name: "api"}

// shop is a small API server with one adopted Deployment, at rest. It knows the user as ann.
func shop(t *testing.T, containers ...string) *Cluster {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	engine, err := json.Marshal(rollout.State{Phase: rollout.Idle, Revision: 1, Stable: "old"})
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"app": "api"}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "api", Namespace: "shop", UID: "deploy"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}},
		},
	}
	if len(containers) == 0 {
		containers = []string{"app"}
	}
	for _, name := range containers {
		d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Name: name, Image: "registry:5000/" + name + ":1.0.0"})
	}
	r := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Name: "api", Namespace: "shop"},
		Status: v1alpha1.RolloutStatus{
			Phase: "Idle", Revision: 1, Strategy: "canary", Stable: &v1alpha1.VersionStatus{Hash: "old", Version: "1.0.0"}, Engine: &runtime.RawExtension{Raw: engine},
		},
	}
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "api", Namespace: "shop"}, Spec: corev1.ServiceSpec{
		Selector: labels, ClusterIP: "10.0.0.1", Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "metrics", Port: 9090}},
	}}
	alone := d.DeepCopy()
	alone.Name, alone.UID = "alone", "alone"
	alone.Spec.Template.Labels = map[string]string{"app": "alone"}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(r).WithObjects(d, r, s, alone).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if review, is := o.(*authenticationv1.SelfSubjectReview); is {
				review.Status.UserInfo.Username = "ann"
				return nil
			}
			return c.Create(ctx, o, opts...)
		},
	}).Build()
	return &Cluster{client: c, place: report.Place{Platform: report.Kube, Context: "test", Namespace: "shop"}}
}

func TestDeploy_SetsTheImage(t *testing.T) {
	for _, tt := range []struct {
		version, image, called string
	}{
		{"2.0.0", "registry:5000/app:2.0.0", "2.0.0"},
		{"other/app:2.0.0", "other/app:2.0.0", "2.0.0"},
		{"other/app:1.0.0", "other/app:1.0.0", "other/app:1.0.0"}, // another image with stable's tag is not stable
		{"1.0.0", "registry:5000/app:1.0.0", "1.0.0"},
		{"app@sha256:" + strings.Repeat("a", 64), "app@sha256:" + strings.Repeat("a", 64), strings.Repeat("a", 12)},
	} {
		c := shop(t)
		now, called, err := c.Deploy(t.Context(), "api", tt.version, "")
		if err != nil {
			t.Fatal(err)
		}
		var d appsv1.Deployment
		if err := c.client.Get(t.Context(), key, &d); err != nil {
			t.Fatal(err)
		}
		if got := d.Spec.Template.Spec.Containers[0].Image; got != tt.image || called != tt.called || now.On.Context != "test" {
			t.Errorf("%s: image %s, called %s, %+v", tt.version, got, called, now.On)
		}
		if now.Over() {
			t.Errorf("%s: it is over, and no controller has taken anything up", tt.version)
		}
	}
}

func TestDeploy_SaysWhatIsWrong(t *testing.T) {
	for name, tt := range map[string]struct {
		app, version, container, says string
	}{
		"a tag":                 {"api", "a b", "", `version "a b" is no tag`},
		"a reference":           {"api", "A/b:1", "", "is no reference of an image"},
		"no app":                {"nothing", "2.0.0", "", "there is no app \"nothing\" in namespace shop; there are: api"},
		"not adopted":           {"alone", "2.0.0", "", "gapless adopt deploy/alone"},
		"several containers":    {"api", "2.0.0", "", "--container app"},
		"no such container":     {"api", "2.0.0", "nope", "and Deployment api has: app, sidecar"},
		"the Deployment's name": {"deploy/api", "2.0.0", "nope", "--container is \"nope\""},
	} {
		t.Run(name, func(t *testing.T) {
			c := shop(t, "app", "sidecar")
			if name == "a tag" || name == "a reference" {
				c = shop(t)
			}
			_, _, err := c.Deploy(t.Context(), tt.app, tt.version, tt.container)
			var wrong *Problem
			if !asProblem(err, &wrong) || !strings.Contains(wrong.Text, tt.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestPlan_ChangesNothing(t *testing.T) {
	c := shop(t)
	p, err := c.Plan(t.Context(), "api", "2.0.0", "")
	if err != nil || p.Problem != "" || len(p.Steps) == 0 || p.Wanted != "2.0.0" {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err = c.Plan(t.Context(), "api", "a b", ""); err != nil || p.Problem == "" {
		t.Errorf("%+v, %v", p, err)
	}
	var d appsv1.Deployment
	if err := c.client.Get(t.Context(), key, &d); err != nil || d.Spec.Template.Spec.Containers[0].Image != "registry:5000/app:1.0.0" {
		t.Errorf("%v %v", d.Spec.Template, err)
	}
}

func TestOrder_IsInTheNameOfTheUserAndIsAnswered(t *testing.T) {
	for _, obeyed := range []bool{true, false} {
		c := shop(t)
		taken := make(chan struct{})
		go func() { // a controller
			defer close(taken)
			for {
				var r v1alpha1.Rollout
				if err := c.client.Get(t.Context(), key, &r); err != nil {
					return
				}
				var orders []rollout.Order
				if json.Unmarshal([]byte(r.Annotations[v1alpha1.AnnotationOrders]), &orders) != nil {
					time.Sleep(10 * time.Millisecond)
					continue
				}
				answers, _ := json.Marshal([]kube.Answer{{ID: orders[0].ID, Verb: orders[0].Verb, By: orders[0].By, Obeyed: obeyed, Message: "said by " + orders[0].By}})
				cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: kube.EvidenceName("api"), Namespace: "shop"}, Data: map[string]string{"answers.json": string(answers)}}
				engine, _ := json.Marshal(rollout.State{Phase: rollout.Idle, Revision: 1, Stable: "old", Done: orders[0].ID})
				r.Status.Engine = &runtime.RawExtension{Raw: engine}
				_ = c.client.Create(t.Context(), cm)
				_ = c.client.Status().Update(t.Context(), &r)
				return
			}
		}()
		_, err := c.Order(t.Context(), "api", rollout.Promote)
		<-taken
		if (err == nil) != obeyed || err != nil && err.Error() != "api: said by ann" {
			t.Errorf("obeyed %v: %v", obeyed, err)
		}
	}
}

func TestAddress_FindsTheServiceAndItsPort(t *testing.T) {
	c := shop(t)
	for _, tt := range []struct {
		target    string
		way       AnotherWay
		url, says string
	}{
		{"deploy/api", AnotherWay{Path: "/"}, "http://api.shop.svc:80/", ""},
		{"svc/api", AnotherWay{Port: "metrics", Path: "metrics"}, "http://api.shop.svc:9090/metrics", ""},
		{"deploy/api", AnotherWay{Port: "nope"}, "", "http 80, metrics 9090"},
		{"deploy/alone", AnotherWay{}, "", "no Service leads to Deployment alone"},
		{"deploy/nothing", AnotherWay{}, "", "there is no Deployment nothing"},
		{"svc/nothing", AnotherWay{}, "", "there is no Service nothing"},
		{"sts/db", AnotherWay{}, "", "write deploy/NAME, svc/NAME or a URL"},
	} {
		p, err := c.Address(t.Context(), tt.target, tt.way)
		if p.URL != tt.url || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s %+v: %s, %v", tt.target, tt.way, p.URL, err)
		}
		if err == nil && !strings.HasPrefix(p.ConnectTo, "10.0.0.1:") {
			t.Errorf("%s is asked at %s", tt.target, p.ConnectTo)
		}
	}
}

func TestKeep_PutsTheCountBesideTheRevisionThatItRanIn(t *testing.T) {
	c := shop(t)
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	revision := map[string]any{"report": report.Report{App: "api", Revision: 2, From: "1.0.0", To: "2.0.0", Started: begin, Ended: begin.Add(time.Minute), Outcome: report.Promoted}}
	text, err := json.Marshal(revision)
	if err != nil {
		t.Fatal(err)
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: kube.EvidenceName("api"), Namespace: "shop"}, Data: map[string]string{"000002.json": string(text)}}
	if err := c.client.Create(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Keep(t.Context(), "api", report.Traffic{Started: begin.Add(time.Hour), Requests: 1}); n != 0 || err != nil {
		t.Errorf("an hour later: %d, %v", n, err)
	}
	many := report.Traffic{Started: begin.Add(-time.Second), Elapsed: report.Millis(2 * time.Minute), Requests: 7, Lost: 1}
	for range 20_000 {
		many.Timeline = append(many.Timeline, report.Bucket{Versions: map[string]int{"1.0.0": 1}})
	}
	if n, err := c.Keep(t.Context(), "api", many); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	e, err := kube.EvidenceOf(t.Context(), c.client, key)
	if err != nil || len(e.Reports) != 1 || e.Reports[0].Traffic == nil || e.Reports[0].Traffic.Lost != 1 || len(e.Reports[0].Traffic.Warnings) != 0 || e.Reports[0].Traffic.Timeline != nil {
		t.Errorf("%+v, %v", e, err)
	}
}
