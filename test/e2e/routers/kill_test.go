package routers_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
)

// reapers stand on every node, and kill.
func (e *edge) reapers() func(version string) int {
	e.Helper()
	var nodes corev1.NodeList
	world.Check(e.T, e.List(e.Context(), &nodes))
	for i, n := range nodes.Items {
		world.Check(e.T, e.Create(e.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("reaper-%d", i), Namespace: e.Namespace, Labels: map[string]string{"role": "reaper"}},
			Spec: corev1.PodSpec{
				NodeName: n.Name, HostPID: true, RestartPolicy: corev1.RestartPolicyNever,
				Containers: []corev1.Container{{Name: "reaper", Image: "reaper:e2e", SecurityContext: &corev1.SecurityContext{Privileged: new(true)}}},
			},
		}))
	}
	var at []string
	e.Eventually("the reapers stand", time.Minute, func() error {
		var pods corev1.PodList
		if err := e.List(e.Context(), &pods, client.InNamespace(e.Namespace), client.MatchingLabels{"role": "reaper"}); err != nil {
			return err
		}
		at = nil
		for _, p := range pods.Items {
			if p.Status.Phase == corev1.PodRunning && p.Status.PodIP != "" {
				at = append(at, p.Status.PodIP)
			}
		}
		if len(at) < len(nodes.Items) {
			return fmt.Errorf("%d of %d", len(at), len(nodes.Items))
		}
		return nil
	})
	return func(version string) int {
		total := 0
		for _, ip := range at {
			answer, err := http.PostForm("http://"+ip+":8080/kill", map[string][]string{"arg": {version}})
			world.Check(e.T, err)
			text, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			world.Check(e.T, err)
			n := 0
			fmt.Sscan(strings.TrimSpace(string(text)), &n)
			total += n
		}
		return total
	}
}

func TestCandidate_ThatDiesTakesNothingWithIt(t *testing.T) {
	t.Parallel()
	cells := []struct {
		way   way
		empty bool
		how   string
	}{
		{ingressRoute, false, "SIGKILL of all"}, {ingressRoute, true, "SIGKILL of all"},
	}
	if soak {
		cells = nil
		for _, w := range []way{ingressRoute, traefikService, httpRoute} {
			for _, empty := range []bool{false, true} {
				for _, how := range []string{"SIGKILL of all", "crash", "unready", "vanish"} {
					cells = append(cells, struct {
						way   way
						empty bool
						how   string
					}{w, empty, how})
				}
			}
		}
	}
	for _, c := range cells {
		t.Run(fmt.Sprintf("%s/%s/allowEmptyServices=%v", c.how, c.way.name, c.empty), func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, c.empty)
			kill := e.reapers()
			e.setUp(c.way, canary("manual", 25))
			before, route := e.Theirs(), e.asWritten(c.way)
			dies := "2.0.0-" + e.Namespace // other stories' pods are not to die with it
			counted := e.Probing(e.load(0.5), func() {
				e.Set(dies)
				e.at("1/1")
				time.Sleep(time.Second)
				switch c.how {
				case "unready":
					e.each(dies, func(p corev1.Pod) {
						answer, err := http.Get("http://" + p.Status.PodIP + ":8080/doNotReady")
						world.Check(t, err)
						answer.Body.Close()
					})
				case "vanish":
					e.each(dies, func(p corev1.Pod) {
						world.Check(t, e.Delete(e.Context(), &p, client.GracePeriodSeconds(0)))
					})
				case "crash": // whenever it starts again
					for e.Rollout().Status.Phase == string(rollout.Shifting) {
						kill(dies)
						time.Sleep(300 * time.Millisecond)
					}
				default: // and once more, if all were up again before anybody could see that none was
					for n := 0; e.Rollout().Status.Phase == string(rollout.Shifting); time.Sleep(3 * time.Second) {
						if n += kill(dies); n == 0 {
							t.Fatal("nothing was killed")
						}
					}
				}
				e.Rests("taken back", func(r *v1alpha1.Rollout) bool { return r.Status.Rejected != "" })
			})
			failed := e.onlyTheDeadLost(c.way, counted)
			e.SameAs(before)
			e.sameRoute(c.way, route)
			e.row("canary", "prepared", c.way, "candidate at 25 %: "+c.how, counted, failed...)
		})
	}
}

// each pod of a version.
func (e *edge) each(version string, f func(corev1.Pod)) {
	e.Helper()
	var pods corev1.PodList
	world.Check(e.T, e.List(e.Context(), &pods, client.InNamespace(e.Namespace)))
	for _, p := range pods.Items {
		if args := p.Spec.Containers[0].Args; len(args) > 1 && args[1] == version && p.DeletionTimestamp == nil {
			f(p)
		}
	}
}

// onlyTheDeadLost: whatever was lost was sent to the candidate, or was its share while its Service was empty, and is named. The route as a
// whole never lacked a backend.
func (e *edge) onlyTheDeadLost(w way, t report.Traffic) (notes []string) {
	e.Helper()
	notes = e.logFailures()
	fallsBack := !e.empty && w.name != httpRoute.name
	for f, n := range e.failures() {
		switch {
		case f.Router == "": // before the route was there
		case f.Version == "1.0.0":
			e.Errorf("%d requests that were sent to stable were answered %d", n, f.Status)
		case f.Version == "none" && f.Status == http.StatusNotFound:
			e.Errorf("%d requests found no route", n)
		case f.Version == "none" && fallsBack:
			e.Errorf("%d requests were answered %d though stable serves", n, f.Status)
		}
	}
	if share := float64(t.Lost) / float64(t.Requests); share > 0.25 {
		e.Errorf("%.1f %% were lost", 100*share)
	}
	return notes
}
