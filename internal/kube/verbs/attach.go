package verbs

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/report"
)

// maxTraffic bounds what of a probe is kept with a revision, in bytes.
const maxTraffic = 60_000

// Keep writes what a probe counted beside the report of the revision that it ran in, and returns that revision; 0 if there was none.
func (c *Cluster) Keep(ctx context.Context, app string, t report.Traffic) (revision int, err error) {
	r, err := c.rollout(ctx, app)
	if err != nil {
		return 0, err
	}
	e, err := kube.EvidenceOf(ctx, c.client, c.key(r))
	if err != nil {
		return 0, explain(err)
	}
	end := t.Started.Add(t.Elapsed.Duration())
	i := slices.IndexFunc(e.Reports, func(k report.Report) bool {
		return k.From != "" && k.Started.Before(end) && (k.Ended.IsZero() || k.Ended.After(t.Started))
	})
	if i < 0 {
		return 0, nil
	}
	k := e.Reports[i]
	if k.Started.Before(t.Started) || k.Ended.IsZero() || k.Ended.After(end) {
		t.Warnings = append(slices.Clone(t.Warnings), "The probe ran in a part of the revision only.")
	}
	body, err := bounded(t)
	if err != nil {
		return 0, err
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]string{kube.TrafficKey(k.Revision): string(body)}})
	if err != nil {
		return 0, err
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: kube.EvidenceName(r.Name)}}
	return k.Revision, explain(c.client.Patch(ctx, cm, client.RawPatch(types.MergePatchType, patch), client.FieldOwner("gapless-cli")))
}

// bounded leaves out what is long, the least needed first.
func bounded(t report.Traffic) ([]byte, error) {
	for _, leaveOut := range []func(){func() {}, func() { t.Examples = nil }, func() { t.Timeline, t.Bucket = nil, 0 }, func() { t.Gaps = nil }} {
		leaveOut()
		body, err := json.Marshal(t)
		if err != nil || len(body) <= maxTraffic {
			return body, err
		}
	}
	return json.Marshal(report.Traffic{URL: t.URL, Started: t.Started, Elapsed: t.Elapsed, Requests: t.Requests, Lost: t.Lost, LongestGap: t.LongestGap, Verdict: t.Verdict, Bound: t.Bound})
}

// attached is what probes that run now have counted until now, by app.
type attached struct {
	mu    sync.Mutex
	tails map[string]bool // pods whose log is followed
	last  map[string]report.Traffic
}

func (a *attached) set(app string, t report.Traffic) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last[app] = t
}

func (a *attached) of(app string) *report.Traffic {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t, counted := a.last[app]; counted {
		return &t
	}
	return nil
}

// attach follows every probe that runs and is not followed yet. Who may not read logs is shown no counts.
func (c *Cluster) attach(ctx context.Context, reader client.Reader, a *attached) {
	var pods corev1.PodList
	if reader.List(ctx, &pods, client.InNamespace(c.place.Namespace), client.HasLabels{probeLabel}) != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tails == nil {
		a.tails, a.last = map[string]bool{}, map[string]report.Traffic{}
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if a.tails[pod.Name] || pod.Status.Phase != corev1.PodRunning {
			continue
		}
		a.tails[pod.Name] = true
		app := pod.Labels[probeLabel]
		go func() {
			if t, _, err := c.read(ctx, pod, func(t report.Traffic) { a.set(app, t) }); err == nil && t != nil {
				a.set(app, *t)
			}
		}()
	}
}

// counting is what a probe of an app that runs now has counted until now; nil if none does, or its log may not be read.
func (c *Cluster) counting(ctx context.Context, app string) *report.Traffic {
	var pods corev1.PodList
	if c.client.List(ctx, &pods, client.InNamespace(c.place.Namespace), client.MatchingLabels{probeLabel: app}) != nil {
		return nil
	}
	i := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	if i < 0 {
		return nil
	}
	ctx, done := context.WithTimeout(ctx, 5*time.Second)
	defer done()
	stream, err := c.log(ctx, pods.Items[i].Name, &corev1.PodLogOptions{TailLines: new(int64(1))})
	if err != nil {
		return nil
	}
	defer stream.Close()
	text, err := io.ReadAll(io.LimitReader(stream, 1<<20))
	var l Line
	if err != nil || json.Unmarshal(bytes.TrimSpace(text), &l) != nil {
		return nil
	}
	return l.Live
}
