// Package follow holds the stories of a git tag that deploys itself, with git's own server, a real registry and a real cluster.
package follow

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/install"
	"gapless.dev/gapless/internal/cli/accept"
	"gapless.dev/gapless/internal/cli/deploy"
	reportcmd "gapless.dev/gapless/internal/cli/report"
	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/followtest"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
)

const password = "s3cr3t-Passw0rd"

// TestFollow tells the stories side by side. They share a git server and a registry, since a node knows one registry; each has a repository of its own.
func TestFollow(t *testing.T) {
	world.Needed(t)
	h := &host{followtest.Serve(t, net.JoinHostPort(hostAddress(t), "5000"))}
	h.Username, h.Password = "robot", password
	t.Run("stories", func(t *testing.T) {
		for name, story := range map[string]func(*testing.T, *host){
			"ATagDeploysItself": aTagDeploysItself, "AsksBeforeAMovedTag": asksBeforeAMovedTag, "OneSecretAndNoOther": oneSecretAndNoOther,
			"InitOfEachExample": func(t *testing.T, _ *host) { initOfEachExample(t) }, "FirstHourOnACluster": firstHourOnACluster, "FirstHourOnOneMachine": func(t *testing.T, _ *host) { firstHourOnOneMachine(t) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				story(t, h)
			})
		}
	})
}

// Most of the time stories wait, however few processors there are.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil {
		_ = f.Value.Set("5")
	}
	os.Exit(m.Run())
}

// A host is the git server and the registry.
type host struct{ *followtest.Server }

// public makes a repository that asks nobody for a password, and returns its URL and the name of an image.
func (h *host) public(name string) (repository, image string) {
	h.Repository(name)
	h.Public(name)
	return h.URL(name), h.Image(name)
}

// A shop is the demo service on a cluster, from an app file that follows a repository.
type shop struct {
	*world.World
	host *host
	code *followtest.Clone
	file string
	// name of the repository and the image.
	name string
}

func newShop(t *testing.T, h *host, name string) *shop {
	w := world.New(t)
	s := &shop{World: w, host: h, name: name, code: h.Repository(name)}
	s.push("1.0.0")
	world.Check(t, w.Create(w.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "demo-git"},
		Data:       map[string][]byte{"username": []byte("robot"), "password": []byte(password)},
	}))
	s.grant("demo-git")
	s.file = filepath.Join(t.TempDir(), "gapless.yaml")
	s.write(`name: demo-api
image: ` + s.host.Image(name) + `:{version}
version: 1.0.0
replicas: 3
ports: {http: {port: 80, target: 8080}}
health: {ready: /ready, live: /healthz, startup: 15s}
stop: {drain: 3s, grace: 30s}
strategy: {canary: {steps: [{weight: 34, pause: 2s}]}}
deadline: 20s
follow: {repository: "` + s.host.URL(name) + `", insecure: true, every: 1s, secret: demo-git}
`)
	s.deploy()
	w.Rests("1.0.0 serves", func(r *v1alpha1.Rollout) bool { return r.Status.Stable != nil && r.Status.Stable.Version == "1.0.0" })
	w.Available(3)
	return s
}

// hostAddress is where nodes find this process: the control host's end of the bridge.
func hostAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	world.Check(t, err)
	for _, a := range all {
		if ip, is := a.(*net.IPNet); is && strings.HasPrefix(ip.IP.String(), "172.31.") {
			return ip.IP.String()
		}
	}
	t.Fatalf("this host has no address in the cluster: %v", all)
	return ""
}

// grant gives the right to read one Secret, as gapless install prints it.
func (s *shop) grant(secret string) {
	s.Helper()
	objects, err := install.Objects(install.Options{FollowSecrets: []string{s.Namespace + "/" + secret}})
	world.Check(s.T, err)
	for _, o := range objects {
		if strings.HasPrefix(o.GetName(), "gapless-follow-") {
			s.Apply(o)
		}
	}
}

func (s *shop) write(text string) {
	s.Helper()
	world.Check(s.T, os.WriteFile(s.file, []byte(text), 0o644))
}

func (s *shop) deploy(more ...string) string {
	s.Helper()
	out, err := s.Gapless(deploy.New, append([]string{"-f", s.file, "--yes"}, more...)...)
	if err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
	return out
}

// push puts an image of a version into the registry, and returns it as it is pinned.
func (s *shop) push(version string, args ...string) string {
	s.Helper()
	program, err := os.ReadFile(filepath.Join(os.Getenv("E2E_BIN"), "api-status"))
	world.Check(s.T, err)
	image := s.host.Image(s.name) + ":" + version
	entry := append([]string{"/api-status", "-version", version}, args...)
	return image + "@" + s.host.PushImage(image, map[string][]byte{"api-status": program}, entry...)
}

func (s *shop) tag(name string, args ...string) string {
	s.Helper()
	commit := s.code.Commit("main.go", "package main // "+name+" "+time.Now().String())
	s.code.Tag(name, args...)
	return commit
}

func (s *shop) following(reason choose.Reason, says string) {
	s.Helper()
	s.Until(fmt.Sprintf("following is %s %q", reason, says), func(r *v1alpha1.Rollout) bool {
		c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionFollowing)
		return c != nil && c.Reason == string(reason) && strings.Contains(c.Message, says)
	})
}

func (s *shop) image() string { return s.Deployment().Spec.Template.Spec.Containers[0].Image }

// rests waits until a version is stable and nothing moves.
func (s *shop) rests(version string) {
	s.Helper()
	s.Rests(version+" is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Stable != nil && r.Status.Stable.Version == version })
}

// patience is how long the image comes after the tag.
const patience = 20 * time.Second

// aTagDeploysItself: a tag waits for its image, is pinned by its digest and goes live; a bad one is taken back and stays off; the
// next one goes live. Not one request is lost.
func aTagDeploysItself(t *testing.T, h *host) {
	s := newShop(t, h, "a-tag")
	first := s.image()
	var commit, pinned string
	counted := s.UnderLoad(0.5, 0.2, func() {
		commit = s.tag("v2.0.0")
		s.following(choose.NoImage, ":2.0.0 does not exist yet")
		looks := len(s.host.Requests(s.name))
		time.Sleep(patience) // the image takes its time; until then nothing may happen
		if s.image() != first || s.Rollout().Status.Phase != string(rollout.Idle) || len(s.host.Requests(s.name)) == looks {
			t.Errorf("without an image: it runs %s, phase %s, %d looks", s.image(), s.Rollout().Status.Phase, len(s.host.Requests(s.name))-looks)
		}
		pinned = s.push("2.0.0")
		s.rests("2.0.0")
		if s.image() != pinned {
			t.Errorf("it runs %s, want %s", s.image(), pinned)
		}

		s.push("2.1.0", "-fail", "never-ready")
		s.tag("v2.1.0")
		s.Until("2.1.0 is taken back", func(r *v1alpha1.Rollout) bool {
			c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionAborted)
			return c != nil && c.Status == metav1.ConditionTrue && r.Status.Phase == string(rollout.Idle)
		})
		s.rests("2.0.0")
		s.following(choose.UpToDate, "did not stay: 2.0.0 is wanted")
		revision, looks := s.Rollout().Status.Revision, len(s.host.Requests(s.name))
		s.Eventually("it has looked five times more", time.Minute, func() error {
			if n := len(s.host.Requests(s.name)) - looks; n < 5 {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		if r := s.Rollout().Status; r.Revision != revision || s.image() != pinned {
			t.Errorf("what was taken back was tried again: revision %d after %d, %s", r.Revision, revision, s.image())
		}

		s.push("2.1.1")
		s.tag("v2.1.1")
		s.rests("2.1.1")
	})
	s.NothingLost(counted)
	for _, v := range []string{"1.0.0", "2.0.0", "2.1.1"} {
		if counted.Versions[v] == 0 {
			t.Errorf("nothing was answered by %s: %v", v, counted.Versions)
		}
	}
	if counted.Versions["2.1.0"] > 0 {
		t.Errorf("%d requests were answered by the bad version", counted.Versions["2.1.0"])
	}
	s.Row("follow", "canary", "prepared", "", "v2.0.0 waits for its image, v2.1.0 is taken back, v2.1.1 goes live", counted)

	var pods corev1.PodList
	world.Check(t, s.List(s.Context(), &pods, client.InNamespace(s.Namespace)))
	for _, p := range pods.Items {
		if p.Annotations[v1alpha1.AnnotationTag] != "v2.1.1" || p.Annotations[v1alpha1.AnnotationCommit] == "" || !strings.Contains(p.Spec.Containers[0].Image, "@sha256:") {
			t.Errorf("pod %s does not say where it comes from: %v, %s", p.Name, p.Annotations, p.Spec.Containers[0].Image)
		}
	}
	out, err := s.Gapless(reportcmd.New, "demo-api", "--revision", "2", "-o", "json")
	world.Check(t, err)
	var r report.Report
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &r); err != nil || r.Source == nil || r.Source.Tag != "v2.0.0" || r.Source.Commit != commit || !strings.HasSuffix(pinned, r.Source.Digest) {
		t.Errorf("the report does not say where 2.0.0 comes from: %v %+v", err, r.Source)
	}
	if images := r.Images["2.0.0"]; len(images) != 1 || !strings.HasSuffix(images[0], r.Source.Digest) {
		t.Errorf("the report says of what ran: %v", r.Images)
	}
	s.holdsNoSecret(out)
}

// asksBeforeAMovedTag: and the same file, applied again, leaves what was followed.
func asksBeforeAMovedTag(t *testing.T, h *host) {
	s := newShop(t, h, "moved")
	first := s.push("2.0.0")
	s.tag("v2.0.0")
	s.rests("2.0.0")
	s.tag("v2.0.0", "-f")
	second := s.push("2.0.0", "-start-delay", "10ms") // another image by the same name
	s.following(choose.Moved, "gapless accept demo-api v2.0.0")
	if s.image() != first {
		t.Errorf("a moved tag was taken without a yes: %s", s.image())
	}
	if out := s.deploy(); !strings.Contains(out, "nothing is different") {
		t.Errorf("the same file is different:\n%s", out)
	}
	if out, err := s.Gapless(accept.New, "demo-api", "v2.0.0"); err != nil {
		t.Fatal(err, out)
	}
	s.Until("what was said yes to is wanted", func(*v1alpha1.Rollout) bool { return s.image() == second })
	s.Rests("it is stable", func(r *v1alpha1.Rollout) bool { return r.Status.Follow.Live.Digest == digestOf(second) })
	s.Available(3)
	s.holdsNoSecret("")
}

func digestOf(image string) string { return image[strings.Index(image, "@")+1:] }

// oneSecretAndNoOther: a Secret without the printed right is not read, and that is said with the way out.
func oneSecretAndNoOther(t *testing.T, h *host) {
	s := newShop(t, h, "secret")
	world.Check(t, s.Create(s.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "other"}, Data: map[string][]byte{"username": []byte("robot"), "password": []byte(password)},
	}))
	text, err := os.ReadFile(s.file)
	world.Check(t, err)
	s.write(strings.Replace(string(text), "secret: demo-git", "secret: other", 1))
	s.deploy()
	s.following(choose.Denied, "gapless install --follow-secret "+s.Namespace+"/other")
	s.grant("other")
	s.following(choose.NoTag, "")
	s.holdsNoSecret("")
}

// holdsNoSecret scans all that was said in the namespace, logged and reported.
func (s *shop) holdsNoSecret(more string) {
	s.Helper()
	text := []string{s.Said(), more}
	add := func(list client.ObjectList) {
		world.Check(s.T, s.List(s.Context(), list, client.InNamespace(s.Namespace)))
		raw, err := json.Marshal(list)
		world.Check(s.T, err)
		text = append(text, string(raw))
	}
	add(&v1alpha1.RolloutList{})
	add(&eventsv1.EventList{})
	add(&corev1.ConfigMapList{})
	add(&corev1.PodList{})
	for _, t := range text {
		for _, secret := range []string{password, "cm9ib3Q6"} { // the beginning of robot: in base64
			if i := strings.Index(t, secret); i >= 0 {
				s.Errorf("a secret stands in: %s", t[max(0, i-200):min(len(t), i+40)])
			}
		}
	}
}
