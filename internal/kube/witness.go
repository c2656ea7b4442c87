package kube

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// A Witness asks what pods have to say. Who may not ask is told nothing, and the rollout goes its way without.
type Witness struct{ Clients kubernetes.Interface }

// How much of a pod's last words is kept, and how long they are waited for.
const (
	lastLines = 20
	lastBytes = 2 << 10
	lastWait  = 3 * time.Second
	// A container that has just begun may be unready for a while, and is not asked why.
	slowToAnswer = 10 * time.Second
	askAgain     = 30 * time.Second
)

// lines are the last of a container's log; of the life before, if it has begun another one.
func (w *Witness) lines(ctx context.Context, p *corev1.Pod, c corev1.ContainerStatus) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lastWait)
	defer cancel()
	stream, err := w.Clients.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{
		Container: c.Name, TailLines: new(int64(lastLines)), LimitBytes: new(int64(64 << 10)),
		Previous: c.State.Terminated == nil && c.LastTerminationState.Terminated != nil,
	}).Stream(ctx)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	text, err := io.ReadAll(io.LimitReader(stream, 64<<10))
	if len(text) > lastBytes {
		text = text[len(text)-lastBytes:]
		if i := slices.Index(text, '\n'); i >= 0 {
			text = text[i+1:] // no half line
		}
	}
	return strings.TrimRight(strings.ToValidUTF8(string(text), "?"), "\n"), err
}

// health is what the kubelet said last of a health check of the pod that failed.
func (w *Witness) health(ctx context.Context, p *corev1.Pod) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lastWait)
	defer cancel()
	list, err := w.Clients.CoreV1().Events(p.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.Set{"involvedObject.uid": string(p.UID), "reason": "Unhealthy"}.String(), Limit: 50,
	})
	if err != nil || len(list.Items) == 0 {
		return "", err
	}
	last := slices.MaxFunc(list.Items, func(x, y corev1.Event) int {
		return cmp.Or(x.LastTimestamp.Compare(y.LastTimestamp.Time), strings.Compare(x.ResourceVersion, y.ResourceVersion))
	})
	return strings.TrimSpace(last.Message), nil
}

// testimony is what was heard of one pod, in one of its lives.
type testimony struct {
	pod      types.UID
	restarts int32
	asked    time.Time
	failure  v1alpha1.Failure
}

// hear asks the pod that speaks for the candidate, once for each of its lives; one that runs and is not ready, again after a while.
func (a *App) hear(ctx context.Context, l *look, now time.Time) {
	v := l.state.Candidate
	if a.Witness == nil || v == "" {
		return
	}
	p, c, words := spokesman(l.pods[v])
	if p == nil || words == "" {
		return
	}
	t := &a.heard
	same := t.pod == p.UID && t.restarts == c.RestartCount
	runs := c.State.Running
	if same && (t.failure.Log != "" || now.Sub(t.asked) < askAgain) || runs != nil && now.Sub(runs.StartedAt.Time) < slowToAnswer {
		return
	}
	*t = testimony{pod: p.UID, restarts: c.RestartCount, asked: now, failure: v1alpha1.Failure{
		Hash: string(v), Pod: p.Name, Container: c.Name, Message: words,
	}}
	switch {
	case runs != nil:
		if said, err := a.Witness.health(ctx, p); err == nil && said != "" {
			t.failure.Message += ": " + said
		}
	case c.State.Terminated != nil || c.LastTerminationState.Terminated != nil:
		if text, err := a.Witness.lines(ctx, p, c); err == nil {
			t.failure.Log = text
		}
	}
}

// of is what was heard of a version, as words for the engine.
func (t testimony) of(v rollout.Version) string {
	f := t.failure
	if f.Hash != string(v) || f.Message == "" {
		return ""
	}
	said := fmt.Sprintf("pod %s: %s", f.Pod, f.Message)
	if f.Log != "" && !strings.Contains(f.Message, lastOf(f.Log)) {
		said += fmt.Sprintf("; it said last: %s", lastOf(f.Log))
	}
	return said
}

func lastOf(log string) string {
	line := log[strings.LastIndex(log, "\n")+1:]
	const enough = 200
	if len(line) > enough {
		line = strings.ToValidUTF8(line[:enough], "") + "..."
	}
	return line
}

// failureOf is what stays in the status of a version that was taken back, until another revision begins.
func (a *App) failureOf(st *v1alpha1.RolloutStatus, s rollout.State) *v1alpha1.Failure {
	switch f := a.heard.failure; {
	case s.Aborted == nil:
		return nil
	case f.Hash == string(s.Aborted.Version):
		return &f
	case st.Failure != nil && st.Failure.Hash == string(s.Aborted.Version):
		return st.Failure
	}
	return nil
}
