package following

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/follow"
	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/followtest"
)

const password = "s3cr3t-Passw0rd"

// A shop is a Rollout that follows a real git server and a real registry, over a small API server without controllers.
type shop struct {
	*testing.T
	*followtest.Server
	code    *followtest.Clone
	client  client.Client
	place   *place
	follows *follow.Follower
	events  chan string
	log     bytes.Buffer

	writes int
	// dies has the n-th write fail, before it is made or after.
	dies   int
	before bool
}

var shopKey = types.NamespacedName{Namespace: "shop", Name: "api"}

func newShop(t *testing.T, change ...func(*v1alpha1.Follow)) *shop {
	t.Helper()
	s := &shop{T: t, Server: followtest.Serve(t, "127.0.0.1:0"), events: make(chan string, 1000)}
	s.Username, s.Password = "robot", password
	s.code = s.Repository("api")
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	died := errors.New("the controller died")
	write := func(make func() error) error {
		s.writes++
		if s.writes == s.dies && s.before {
			return died
		}
		err := make()
		if s.writes == s.dies {
			return died
		}
		return err
	}
	s.client = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Rollout{}).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return write(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return write(func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, is := o.(*corev1.Secret); is && key.Name == "forbidden" {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, key.Name, errors.New("no right"))
			}
			return c.Get(ctx, key, o, opts...)
		},
	}).Build()
	f := v1alpha1.Follow{Repository: s.URL("api"), SecretName: "git", Insecure: true}
	for _, c := range change {
		c(&f)
	}
	labels := map[string]string{"app": "api"}
	for _, o := range []client.Object{
		&v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"}, Spec: v1alpha1.RolloutSpec{Follow: &f}},
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api", Labels: map[string]string{v1alpha1.LabelManaged: "true"}},
			Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: s.Image("api") + ":1.0.0"}, {Name: "beside", Image: "beside:1"}}},
			}},
		},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "git"}, Data: map[string][]byte{"username": []byte("robot"), "password": []byte(password), "webhook": []byte("hook-" + password)}},
	} {
		if err := s.client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	s.place = &place{client: s.client, events: recorder{s.events}, log: slog.New(slog.NewTextHandler(&s.log, nil)), key: shopKey, spec: f}
	s.follows = &follow.Follower{Place: s.place, Renew: s.place.source}
	t.Cleanup(s.holdsNoSecret)
	return s
}

type recorder struct{ to chan string }

func (r recorder) Eventf(_, _ runtime.Object, kind, reason, action, note string, args ...any) {
	r.to <- kind + " " + reason + " " + action + " " + fmt.Sprintf(note, args...)
}

var _ events.EventRecorder = recorder{}

func (s *shop) rollout() *v1alpha1.Rollout {
	s.Helper()
	r := &v1alpha1.Rollout{}
	if err := s.client.Get(context.Background(), shopKey, r); err != nil {
		s.Fatal(err)
	}
	return r
}

func (s *shop) template() corev1.PodTemplateSpec {
	s.Helper()
	d := &appsv1.Deployment{}
	if err := s.client.Get(context.Background(), shopKey, d); err != nil {
		s.Fatal(err)
	}
	return d.Spec.Template
}

// look looks once, and wants a condition.
func (s *shop) look(reason choose.Reason, says string) {
	s.Helper()
	if _, err := s.follows.Look(s.Context()); err != nil {
		s.Fatal(err)
	}
	c := meta.FindStatusCondition(s.rollout().Status.Conditions, v1alpha1.ConditionFollowing)
	if c == nil || c.Reason != string(reason) || !strings.Contains(c.Message, says) {
		s.Fatalf("got %+v, want %s %q", c, reason, says)
	}
}

func (s *shop) runs(image string) {
	s.Helper()
	if got := s.template().Spec.Containers[0].Image; got != image {
		s.Errorf("it runs %s, want %s", got, image)
	}
}

func (s *shop) push(version string) (image string) {
	s.Helper()
	image = s.Image("api") + ":" + version
	return image + "@" + s.PushImage(image, map[string][]byte{"api": []byte(version)}, "/api")
}

func (s *shop) yes(text string) {
	s.Helper()
	r := s.rollout()
	r.Annotations = map[string]string{v1alpha1.AnnotationYes: text}
	if err := s.client.Update(s.Context(), r); err != nil {
		s.Fatal(err)
	}
}

// holdsNoSecret scans all that was written, said and logged.
func (s *shop) holdsNoSecret() {
	r := s.rollout()
	status, _ := json.Marshal(r)
	template, _ := json.Marshal(s.template())
	texts := []string{string(status), string(template), s.log.String()}
	close(s.events)
	for e := range s.events {
		texts = append(texts, e)
	}
	for _, text := range texts {
		for _, secret := range []string{password, "cm9ib3Q6"} { // the beginning of robot: in base64
			if strings.Contains(text, secret) {
				s.Errorf("a secret stands in %s", text)
			}
		}
	}
}

func TestFollow_WaitsForTheImageAndPinsIt(t *testing.T) {
	s := newShop(t)
	s.look(choose.NoTag, "no tags yet")
	first := s.code.Commit("main.go", "1")
	s.code.Tag("v1.0.0")
	s.look(choose.UpToDate, "1.0.0 is live already")
	s.runs(s.Image("api") + ":1.0.0")
	if live := s.rollout().Status.Follow.Live; live == nil || live.Commit != first {
		t.Errorf("what is live already is remembered as %+v", live)
	}

	second := s.code.Commit("main.go", "2")
	s.code.Tag("v2.0.0")
	s.look(choose.NoImage, ":2.0.0 does not exist yet")
	s.runs(s.Image("api") + ":1.0.0")
	if a := s.rollout().Status.Follow.Awaited; a == nil || a.Tag != "v2.0.0" || a.Commit != second {
		t.Errorf("awaited: %+v", a)
	}
	pinned := s.push("2.0.0")
	s.look(choose.Start, "started v2.0.0")
	s.runs(pinned)
	template := s.template()
	for name, want := range map[string]string{
		v1alpha1.AnnotationTag: "v2.0.0", v1alpha1.AnnotationCommit: second, v1alpha1.AnnotationVersion: "2.0.0", v1alpha1.AnnotationRepository: s.URL("api"),
	} {
		if got := template.Annotations[name]; got != want {
			t.Errorf("%s on the pods is %q, want %q", name, got, want)
		}
	}
	if other := template.Spec.Containers[1].Image; other != "beside:1" {
		t.Errorf("the container beside runs %s", other)
	}
	f := s.rollout().Status.Follow
	if f.Live == nil || f.Live.Tag != "v2.0.0" || f.Live.Digest == "" || f.Begun != nil || f.Awaited != nil || f.StartedAt == nil {
		t.Errorf("status: %+v", f)
	}
	s.push("2.0.0-moved")
	s.PushImage(s.Image("api")+":2.0.0", map[string][]byte{"api": []byte("another program under the same name")}, "/api")
	s.look(choose.UpToDate, "")
	s.runs(pinned)
}

// TestFollow_SurvivesADeathAtEachWrite: whatever write the controller dies with, the next one comes to the same end, and starts once.
func TestFollow_SurvivesADeathAtEachWrite(t *testing.T) {
	for _, before := range []bool{true, false} {
		for n := 1; ; n++ {
			s := newShop(t)
			s.code.Commit("main.go", "2")
			s.code.Tag("v2.0.0")
			pinned := s.push("2.0.0")
			s.dies, s.before = n, before
			_, err := s.follows.Look(t.Context())
			if err == nil {
				break // there was no n-th write
			}
			// Another controller, with nothing but what was written down.
			s.place = &place{client: s.client, events: recorder{s.events}, log: s.place.log, key: shopKey, spec: s.place.spec}
			s.follows = &follow.Follower{Place: s.place, Renew: s.place.source}
			for range 2 {
				if _, err := s.follows.Look(t.Context()); err != nil {
					t.Fatalf("write %d: %v", n, err)
				}
			}
			s.look(choose.UpToDate, "v2.0.0")
			s.runs(pinned)
			if f := s.rollout().Status.Follow; f.Begun != nil || f.Live == nil {
				t.Errorf("write %d: %+v", n, f)
			}
			if n > 20 {
				t.Fatal("it never ends")
			}
		}
	}
}

func TestFollow_AsksBeforeAMovedTagAndBeforeGoingBack(t *testing.T) {
	s := newShop(t)
	s.code.Commit("main.go", "2")
	s.code.Tag("v2.0.0")
	first := s.push("2.0.0")
	s.look(choose.Start, "")
	moved := s.code.Commit("main.go", "something else")
	s.code.Tag("v2.0.0", "-f")
	second := s.push("2.0.0")
	for range 3 {
		s.look(choose.Moved, "gapless accept api v2.0.0 -n shop says yes")
		s.runs(first)
	}
	if a := s.rollout().Status.Follow.Asked; a == nil || a.Commit != moved {
		t.Errorf("asked: %+v", a)
	}
	s.yes("v2.0.0@" + strings.Repeat("1", 40))
	s.look(choose.Moved, "")
	s.runs(first)
	s.yes("v2.0.0@" + moved)
	s.look(choose.Start, "")
	s.runs(second)
	if text := s.rollout().Annotations[v1alpha1.AnnotationYes]; text != "" {
		t.Errorf("the yes %q is still there", text)
	}

	s.code.Commit("main.go", "3")
	s.code.Tag("v3.0.0")
	third := s.push("3.0.0")
	s.look(choose.Start, "")
	s.code.Git("tag", "-d", "v3.0.0")
	s.code.Push()
	s.look(choose.Downgrade, "is gone")
	s.runs(third)
	s.yes("v2.0.0@" + moved)
	s.look(choose.Start, "")
	s.runs(second)
}

// TestFollow_LeavesWhatWasTakenBack: the template is stable's again, and the tag is not tried a second time; the next one is.
func TestFollow_LeavesWhatWasTakenBack(t *testing.T) {
	s := newShop(t)
	s.code.Commit("main.go", "2")
	s.code.Tag("v2.0.0")
	s.push("2.0.0")
	s.look(choose.Start, "")
	good := s.template()
	s.code.Commit("main.go", "bad")
	s.code.Tag("v2.1.0")
	s.push("2.1.0")
	s.look(choose.Start, "")
	d := &appsv1.Deployment{}
	if err := s.client.Get(t.Context(), shopKey, d); err != nil {
		t.Fatal(err)
	}
	d.Spec.Template = good // what an abort writes back
	if err := s.client.Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.look(choose.UpToDate, "")
		s.runs(good.Spec.Containers[0].Image)
	}
	s.code.Commit("main.go", "mended")
	s.code.Tag("v2.1.1")
	mended := s.push("2.1.1")
	s.look(choose.Start, "v2.1.1")
	s.runs(mended)
}

func TestFollow_SaysWhatKeepsItFromLooking(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.Follow)
		reason choose.Reason
		says   string
	}{
		"no Secret":          {func(f *v1alpha1.Follow) { f.SecretName = "none" }, choose.Denied, "there is no Secret none"},
		"no right to it":     {func(f *v1alpha1.Follow) { f.SecretName = "forbidden" }, choose.Denied, "gapless install --follow-secret shop/forbidden"},
		"no credentials":     {func(f *v1alpha1.Follow) { f.SecretName = "" }, choose.Denied, "does not let us in"},
		"a key that is none": {func(f *v1alpha1.Follow) { f.Keys = []string{"ssh-ed25519 nonsense"} }, choose.BadRule, "keys[0]"},
		"not signed": {func(f *v1alpha1.Follow) {
			f.Keys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDoL3WuG5pGrX1dxVZ5rV0cQq0H8sU6eVnQm4Vt5rLmW"}
		}, choose.Unverified, "is not signed"},
		"no such container":   {func(f *v1alpha1.Follow) { f.Container = "web" }, choose.BadRule, "no container"},
		"an odd range":        {func(f *v1alpha1.Follow) { f.Versions = "newest" }, choose.BadRule, "write a range"},
		"an image of its own": {func(f *v1alpha1.Follow) { f.Image = "127.0.0.1:1/other:{tag}" }, choose.Unreachable, "nobody answers at the registry 127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, c.change)
			s.code.Commit("main.go", "2")
			s.code.Tag("v2.0.0")
			s.look(c.reason, c.says)
			s.runs(s.Image("api") + ":1.0.0")
		})
	}
}

func TestFollow_DoesNotRepeatItself(t *testing.T) {
	s := newShop(t)
	s.code.Commit("main.go", "2")
	s.code.Tag("v2.0.0")
	for range 5 {
		s.look(choose.NoImage, "")
	}
	if n := len(s.events); n != 1 {
		t.Errorf("%d events of one thing", n)
	}
	writes := s.writes
	s.look(choose.NoImage, "")
	if s.writes != writes {
		t.Error("a look that found nothing new wrote something")
	}
}

func TestHook_IsWrittenOntoTheRollout(t *testing.T) {
	s := newShop(t)
	h := Hook(s.client)
	call(t, h, "/hooks/shop/api", "hook-"+password, 202)
	if text := s.rollout().Annotations[v1alpha1.AnnotationLook]; text == "" {
		t.Error("nothing was written")
	} else if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
		t.Error(err)
	}
	call(t, h, "/hooks/shop/api", password, 403)
	call(t, h, "/hooks/shop/none", "hook-"+password, 403)
	call(t, h, "/hooks/shop", "hook-"+password, 403)
}

func call(t *testing.T, h http.Handler, path, token string, code int) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, nil)
	r.Header.Set("X-Gitlab-Token", token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != code {
		t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, code)
	}
}
