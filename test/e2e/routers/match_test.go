package routers_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/probe"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
)

// get is the version that answers a client, who may change the request.
func (e *edge) get(c *http.Client, change func(*http.Request)) string {
	e.Helper()
	r, err := http.NewRequestWithContext(e.Context(), http.MethodGet, e.url, nil)
	world.Check(e.T, err)
	if change != nil {
		change(r)
	}
	answer, err := c.Do(r)
	world.Check(e.T, err)
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusOK {
		e.Errorf("answered %s", answer.Status)
	}
	return answer.Header.Get("Gapless-Version")
}

func match(header, cookie string) *v1alpha1.Match {
	m := &v1alpha1.Match{}
	if k, v, has := strings.Cut(header, "="); has {
		m.Header = map[string]string{k: v}
	}
	if k, v, has := strings.Cut(cookie, "="); has {
		m.Cookie = map[string]string{k: v}
	}
	return m
}

func TestMatch_SendsTheCandidateWhatItDescribes(t *testing.T) {
	t.Parallel()
	ways := []way{ingressRoute}
	if soak {
		ways = []way{ingressRoute, httpRoute, nginx}
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, false)
			steps := []v1alpha1.Step{{Match: match("X-Beta=yes", ""), Pause: "manual"}, {Match: match("", "group=always"), Weight: new(int32(10)), Pause: "manual"}}
			e.setUp(way, &v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: steps}})
			before, route := e.Theirs(), e.asWritten(way)
			counted := e.Probing(e.light(0.5), func() {
				e.Set("2.0.0")
				e.at("1/2")
				for range 20 {
					if on := e.get(judge(), func(r *http.Request) { r.Header.Set("X-Beta", "yes") }); on != "2.0.0" {
						t.Fatalf("with the header %s answers", on)
					}
					if on := e.get(judge(), func(r *http.Request) { r.Header.Set("X-Beta", "no") }); on != "1.0.0" {
						t.Fatalf("with another value %s answers", on)
					}
				}
				e.Order(rollout.Promote)
				e.at("2/2")
				for range 20 {
					if on := e.get(judge(), func(r *http.Request) { r.Header.Set("Cookie", "a=b; group=always; c=d") }); on != "2.0.0" {
						t.Fatalf("with the cookie %s answers", on)
					}
				}
				e.Order(rollout.Promote)
				e.Rests("2.0.0 is stable", isStable(2))
			})
			e.NothingLost(counted)
			failed := e.logFailures()
			e.SameAs(before)
			e.sameRoute(way, route)
			e.row("A/B", "prepared", way, "by a header, then by a cookie", counted, failed...)
			proves(t, way.name, toDataPlane, "header", "cookie")
		})
	}
}

func TestUsers_StayOnTheirVersion(t *testing.T) {
	t.Parallel()
	ways := []way{ingressRoute}
	if soak {
		ways = []way{ingressRoute, traefikService}
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, false)
			steps := []v1alpha1.Step{{Match: &v1alpha1.Match{Users: new(int32(20))}, Pause: "manual"}, {Match: &v1alpha1.Match{Users: new(int32(50))}, Pause: "manual"}}
			e.setUp(way, &v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: steps}})
			before, route := e.Theirs(), e.asWritten(way)
			type user struct {
				*http.Client
				on string
			}
			var users []user
			arrive := func(n int) (candidate int) {
				for range n {
					jar, err := cookiejar.New(nil)
					world.Check(t, err)
					u := user{Client: judge()}
					u.Jar = jar
					if u.on = e.get(u.Client, nil); u.on == "2.0.0" {
						candidate++
					}
					users = append(users, u)
				}
				return candidate
			}
			stay := func() {
				for _, u := range users {
					if on := e.get(u.Client, nil); on != u.on {
						t.Fatalf("a user was on %s and is on %s", u.on, on)
					}
				}
			}
			counted := e.Probing(e.light(0.5), func() {
				e.Set("2.0.0")
				for i, share := range []int{20, 50} {
					e.at(fmt.Sprintf("%d/2", i+1))
					stay()
					n := arrive(100)
					t.Logf("at %d %% of the users %d of 100 new ones are on 2.0.0", share, n)
					if n < share-16 || n > share+16 { // 4 standard deviations at most
						t.Errorf("%d of 100 new users at %d %%", n, share)
					}
					stay()
					e.Order(rollout.Promote)
				}
				e.Rests("2.0.0 is stable", isStable(2))
			})
			e.NothingLost(counted)
			failed := e.logFailures()
			e.SameAs(before)
			e.sameRoute(way, route)
			e.row("A/B", "prepared", way, "20, then 50 % of the users, of whom none is moved", counted, failed...)
			proves(t, way.name, toDataPlane, "users")
		})
	}
}

func TestMirror_CopiesWhatChangesNothing(t *testing.T) {
	t.Parallel()
	e := newEdge(t, false)
	e.DeployOf("streams:e2e")
	e.routed(ingressRoute, &v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{{Mirror: new(int32(50)), Pause: "manual"}}}})
	before, route := e.Theirs(), e.asWritten(ingressRoute)
	counted := e.Watching(e.light(0.5), func(p *probe.Probe) {
		e.Set("2.0.0")
		e.at("1/1")
		seen := func() (reads, writes int) {
			e.each("2.0.0", func(p corev1.Pod) {
				answer, err := http.Get("http://" + p.Status.PodIP + ":8080/seen")
				world.Check(t, err)
				defer answer.Body.Close()
				r, w := 0, 0
				fmt.Fscan(answer.Body, &r, &w)
				reads, writes = reads+r, writes+w
			})
			return reads, writes
		}
		was, _ := seen()
		before := p.Traffic().Requests
		time.Sleep(4 * time.Second)
		reads, writes := seen()
		all := p.Traffic().Requests - before
		t.Logf("of %d requests 2.0.0 was sent copies of %d reads and %d writes", all, reads-was, writes)
		// 70 % of the requests are GET, and half of those are copied.
		if got, want := float64(reads-was), 0.35*float64(all); got < 0.6*want || got > 1.4*want {
			t.Errorf("%.0f copies, and %.0f are due", got, want)
		}
		if writes > 0 {
			t.Errorf("%d writes were carried out twice", writes)
		}
		e.Order(rollout.Promote)
		e.Rests("2.0.0 is stable", isStable(2))
	})
	e.NothingLost(counted)
	failed := e.logFailures()
	e.SameAs(before)
	e.sameRoute(ingressRoute, route)
	e.row("shadow", "prepared", ingressRoute, "copies of half of the reads", counted, failed...)
	e.Eventually("the report compares both", 10*time.Second, func() error {
		evidence, err := kube.EvidenceOf(e.Context(), e.Client, types.NamespacedName{Namespace: e.Namespace, Name: world.Demo})
		if err != nil {
			return err
		}
		report, _ := evidence.Of(2)
		for _, note := range report.Notes {
			if strings.HasPrefix(note, "Shadow, by the counts of the data plane: of ") {
				t.Log(note)
				return nil
			}
		}
		return fmt.Errorf("notes: %q", report.Notes)
	})
	proves(t, ingressRoute.name, toDataPlane, "mirror")
}
