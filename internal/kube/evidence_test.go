package kube

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/controller"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// record tells the App of a decision that leads from one state to the next at a moment.
func (d *desk) record(app *App, at time.Time, before, after rollout.State, answers ...rollout.Answer) {
	d.Helper()
	if _, err := app.Observe(d.Context()); err != nil {
		d.Fatal(err)
	}
	app.state = after
	seen := controller.Seen{Plan: rollout.Plan{App: "api", Strategy: rollout.Canary, Steps: []rollout.Step{{Weight: 50}}}, State: before, Snapshot: rollout.Snapshot{Now: at}}
	err := app.Record(d.Context(), seen, rollout.Decision{State: after, Reason: after.Reason, Message: after.Message, Answers: answers})
	if err != nil {
		d.Fatal(err)
	}
}

func (d *desk) configMap() *corev1.ConfigMap {
	d.Helper()
	cm := &corev1.ConfigMap{}
	if err := d.client.Get(d.Context(), types.NamespacedName{Namespace: "shop", Name: "api-gapless"}, cm); err != nil {
		d.Fatal(err)
	}
	return cm
}

func writesOf(writes []string, kind string) int {
	n := 0
	for _, w := range writes {
		if strings.Contains(w, kind) {
			n++
		}
	}
	return n
}

func TestEvidence_IsWrittenWhereItMattersAndOutlivesTheController(t *testing.T) {
	d := newDesk(t)
	v := d.newTemplate()
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	idle := rollout.State{Phase: rollout.Idle, Revision: 1, Stable: "old"}
	state := func(phase rollout.Phase, at time.Time, reason, message string) rollout.State {
		return rollout.State{Phase: phase, Revision: 2, Stable: "old", Candidate: v, PhaseAt: at, Reason: reason, Message: message}
	}
	preparing := state(rollout.Preparing, begin, rollout.ReasonCandidateGrowing, fmt.Sprintf("0 of 3 of %s serve", v))
	shifting := state(rollout.Shifting, begin.Add(4*time.Second), rollout.ReasonRouteConverging, "on its way")
	waits := state(rollout.Shifting, begin.Add(4*time.Second), rollout.ReasonAwaitingPromote, "waits for somebody")

	d.writes = nil
	d.record(d.app, begin, idle, preparing)
	d.record(d.app, begin.Add(4*time.Second), preparing, shifting)
	if n := writesOf(d.writes, "ConfigMap"); n != 0 {
		t.Errorf("%d writes before the rollout came to stand anywhere: %v", n, d.writes)
	}
	d.record(d.app, begin.Add(6*time.Second), shifting, waits)
	if n := writesOf(d.writes, "ConfigMap"); n != 2 { // a patch that finds nothing, and the making of it
		t.Errorf("%d writes when it stands: %v", n, d.writes)
	}
	if owner := metav1.GetControllerOf(d.configMap()); owner == nil || owner.Kind != "Rollout" || owner.BlockOwnerDeletion != nil {
		t.Errorf("owner %+v", owner)
	}

	// Another controller goes on, obeys an order and brings it to its end.
	next := &App{Client: d.client, Key: deskKey, proved: true}
	promoting := state(rollout.Promoting, begin.Add(10*time.Second), rollout.ReasonRouteConverging, "all of it")
	order := rollout.Order{ID: 7, Verb: rollout.Promote, By: "ann"}
	d.writes = nil
	d.record(next, begin.Add(10*time.Second), waits, promoting, rollout.Answer{Order: order, Obeyed: true, Message: fmt.Sprintf("%s goes on", v)})
	over := rollout.State{Phase: rollout.Idle, Revision: 2, Stable: v, Previous: "old", PhaseAt: begin.Add(20 * time.Second), Reason: rollout.ReasonServing, Message: "serves"}
	d.record(next, begin.Add(20*time.Second), promoting, over)
	if n := writesOf(d.writes, "ConfigMap"); n != 2 {
		t.Errorf("%d writes for an answer and the end: %v", n, d.writes)
	}

	e, err := EvidenceOf(t.Context(), d.client, deskKey)
	if err != nil || len(e.Reports) != 1 {
		t.Fatalf("%+v, %v", e, err)
	}
	r := e.Reports[0]
	if r.From != "1" || r.To != "2" || r.Outcome != report.Promoted || len(r.Phases) != 3 || len(r.Notes) != 0 {
		t.Errorf("%+v", r)
	}
	if first := r.Decisions[0]; first.Message != "0 of 3 of 2 serve" {
		t.Errorf("the version is not named as people know it: %q", first.Message)
	}
	if len(e.Answers) != 1 || e.Answers[0] != (Answer{7, rollout.Promote, "ann", true, "2 goes on"}) {
		t.Errorf("answers %+v", e.Answers)
	}
}

func TestEvidence_SaysWhatAKilledControllerTookWithIt(t *testing.T) {
	d := newDesk(t)
	v := d.newTemplate()
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	waits := rollout.State{Phase: rollout.Shifting, Revision: 2, Stable: "old", Candidate: v, PhaseAt: begin, Reason: rollout.ReasonAwaitingPromote}
	d.record(d.app, begin, rollout.State{Phase: rollout.Idle, Revision: 1, Stable: "old"}, waits)

	finishing := waits
	finishing.Phase, finishing.PhaseAt = rollout.Finishing, begin.Add(time.Minute)
	next := &App{Client: d.client, Key: deskKey, proved: true}
	d.record(next, begin.Add(2*time.Minute), finishing, rollout.State{Phase: rollout.Idle, Revision: 2, Stable: v, PhaseAt: begin.Add(2 * time.Minute), Reason: rollout.ReasonServing})
	e, err := EvidenceOf(t.Context(), d.client, deskKey)
	if err != nil || len(e.Reports) != 1 || len(e.Reports[0].Notes) != 1 || !strings.Contains(e.Reports[0].Notes[0], "between 03:04:05Z and 03:05:05Z") {
		t.Errorf("%+v, %v", e.Reports, err)
	}
}

func TestEvidence_IsBounded(t *testing.T) {
	d := newDesk(t)
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	before := rollout.State{Phase: rollout.Idle, Revision: 1, Stable: "old"}
	for n := 2; n < 20; n++ {
		after := rollout.State{Phase: rollout.Idle, Revision: n, Stable: "old", PhaseAt: begin, Reason: rollout.ReasonServing, Message: strings.Repeat("long ", 20_000)}
		d.record(d.app, begin, before, after)
		before = after
	}
	cm, total := d.configMap(), 0
	for _, text := range cm.Data {
		total += len(text)
	}
	e, err := EvidenceOf(t.Context(), d.client, deskKey)
	if err != nil || total > keptBytes || len(e.Reports) > keptRevisions || len(e.Reports) < 2 || e.Reports[0].Revision != 19 {
		t.Errorf("%d bytes, %d reports, %v", total, len(e.Reports), err)
	}
}

func TestNames_OutliveTheVersion(t *testing.T) {
	d := newDesk(t)
	v := d.newTemplate()
	if err := d.app.Save(t.Context(), rollout.State{Phase: rollout.Preparing, Revision: 2, Stable: "old", Candidate: v}); err != nil {
		t.Fatal(err)
	}
	deploy := d.deployment()
	d.change(deploy, func() {
		_ = unstructured.SetNestedField(deploy.Object, templateOf("api:1", map[string]any{"app": "api"}), "spec", "template")
	})
	d.look()
	if err := d.app.Save(t.Context(), rollout.State{Phase: rollout.Aborting, Revision: 2, Stable: "old", Candidate: v, Message: fmt.Sprintf("%s is gone", v)}); err != nil {
		t.Fatal(err)
	}
	if st := d.app.seen.rollout.Status; st.Message != "2 is gone" || st.Candidate.Version != "2" {
		t.Errorf("%q, %+v", st.Message, st.Candidate)
	}
}

// When a candidate is taken back, the template is that of stable before the report is closed.
func TestEvidence_KeepsWhereACandidateCameFrom(t *testing.T) {
	d := newDesk(t)
	d.newTemplate()
	says := func(tag, commit string) {
		deploy := d.deployment()
		d.change(deploy, func() { tell(t, deploy, tag, commit) })
	}
	says("v2.0.0", "c2")
	v := d.look().Wanted
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	preparing := rollout.State{Phase: rollout.Preparing, Revision: 2, Stable: "old", Candidate: v, PhaseAt: begin, Reason: rollout.ReasonCandidateGrowing}
	d.record(d.app, begin, rollout.State{Phase: rollout.Idle, Revision: 1, Stable: "old"}, preparing)
	tell(t, d.app.seen.deploy, "v1.0.0", "c1") // as it is once the template was written back, within the same look
	back := rollout.State{Phase: rollout.Held, Revision: 2, Stable: "old", Rejected: v, PhaseAt: begin, Reason: rollout.ReasonHeld, Aborted: &rollout.Setback{}}
	seen := controller.Seen{Plan: rollout.Plan{App: "api", Strategy: rollout.Canary}, State: preparing, Snapshot: rollout.Snapshot{Now: begin.Add(time.Minute)}}
	if err := d.app.Record(t.Context(), seen, rollout.Decision{State: back, Reason: back.Reason}); err != nil {
		t.Fatal(err)
	}
	e, err := EvidenceOf(t.Context(), d.client, deskKey)
	if err != nil || len(e.Reports) != 1 || e.Reports[0].Source == nil || e.Reports[0].Source.Tag != "v2.0.0" {
		t.Errorf("%+v, %v", e.Reports, err)
	}
}

// tell writes into a Deployment's template where it comes from.
func tell(t *testing.T, deploy *unstructured.Unstructured, tag, commit string) {
	t.Helper()
	for name, text := range map[string]string{v1alpha1.AnnotationTag: tag, v1alpha1.AnnotationCommit: commit} {
		if err := unstructured.SetNestedField(deploy.Object, text, "spec", "template", "metadata", "annotations", name); err != nil {
			t.Fatal(err)
		}
	}
}
