package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/metrics"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// The revision's last status is written in the very moment in which somebody writes another template: what is at rest is said before the
// new revision begins, and each has its own report.
func TestUnsaid_IsSaidBeforeWhatComesNext(t *testing.T) {
	d := newDesk(t)
	finished(d)
	var once sync.Once
	d.app.Client = interceptor.NewClient(d.client.(client.WithWatch), interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			err := c.SubResource(sub).Update(ctx, o, opts...)
			if r, is := o.(*v1alpha1.Rollout); is && err == nil && r.Status.Kept == nil {
				once.Do(func() { d.newTemplate() })
			}
			return err
		},
	})
	if said := drive(d); !slices.Contains(said, rollout.ReasonCandidateGrowing) {
		t.Fatalf("the other template was not begun: %v", said)
	}
	if now := d.app.kept.now.Report; now.Revision != 3 || now.Outcome != report.Running {
		t.Errorf("the report of now is of revision %d: %s", now.Revision, now.Outcome)
	}
	var reasons []string
	for _, e := range d.app.kept.now.Report.Decisions {
		reasons = append(reasons, e.Reason)
	}
	if slices.Contains(reasons, rollout.ReasonServing) {
		t.Errorf("the report of the new revision tells the end of the one before: %v", reasons)
	}
}

// A last status that could not be written is said once: by the look that writes it.
func TestUnsaid_IsSaidOnceThoughTheWriteFailed(t *testing.T) {
	d := newDesk(t)
	finished(d)
	fails := true
	d.app.Client = interceptor.NewClient(d.client.(client.WithWatch), interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			if r, is := o.(*v1alpha1.Rollout); is && r.Status.Kept == nil && fails {
				fails = false
				return apierrors.NewConflict(schema.GroupResource{Resource: "rollouts"}, r.Name, errors.New("somebody wrote it"))
			}
			return c.SubResource(sub).Update(ctx, o, opts...)
		},
	})
	said := drive(d)
	if want := []string{rollout.ReasonReleasing, rollout.ReasonScaling}; !slices.Equal(said, want) {
		t.Errorf("said %v, not %v", said, want)
	}
	if now := d.app.kept.now.Report; now.Revision != 2 || now.Outcome != report.Promoted {
		t.Errorf("the report is of revision %d: %s", now.Revision, now.Outcome)
	}
}

// finished is a desk whose revision is over but for the last status, which still keeps what was the user's.
func finished(d *desk) {
	d.Helper()
	// Without a Service there is nothing to wait for.
	if err := d.client.Delete(d.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "api", Namespace: "shop"}}); err != nil {
		d.Fatal(err)
	}
	d.look()
	rests := rollout.Route{Weights: rollout.Weights{"old": 100}, Open: true}
	if err := d.app.Save(d.Context(), rollout.State{Phase: rollout.Idle, Revision: 2, Stable: "old", Previous: "older", Route: rests}); err != nil {
		d.Fatal(err)
	}
	r := d.rollout()
	r.Status.Kept = &v1alpha1.Kept{Strategy: &runtime.RawExtension{Raw: []byte(`{"type":"RollingUpdate"}`)}}
	if err := d.client.Status().Update(d.Context(), r); err != nil {
		d.Fatal(err)
	}
}

// drive runs the app's loop until it has settled, and returns the reasons that it gave.
func drive(d *desk) []string {
	d.Helper()
	var log bytes.Buffer
	f := &Fleet{Client: d.client, Log: slog.New(slog.NewJSONHandler(&log, nil)), Metrics: metrics.New(prometheus.NewRegistry(), "test")}
	ctx, stop := context.WithCancel(d.Context())
	loop := f.loopOf(ctx, d.app, make(chan struct{}))
	loop.Settled = stop
	_ = loop.Run(ctx) // its error is that it was stopped
	var said []string
	for line := range bytes.Lines(log.Bytes()) {
		var entry struct{ Level, Reason string }
		if err := json.Unmarshal(line, &entry); err != nil {
			d.Fatal(err)
		}
		if entry.Level == slog.LevelInfo.String() {
			said = append(said, entry.Reason)
		}
	}
	return said
}
