package kube

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// TestEngine_OfAnOlderControllerIsReadWhole: the file is a state as the first controllers wrote it, every field set. It is never written
// anew: a controller that comes in the middle of a rollout has to understand it.
func TestEngine_OfAnOlderControllerIsReadWhole(t *testing.T) {
	raw, err := os.ReadFile("testdata/engine-v1alpha1.json")
	if err != nil {
		t.Fatal(err)
	}
	var s rollout.State
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields() // a field that was dropped or renamed is something forgotten
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	at := func(clock string) time.Time {
		t.Helper()
		v, err := time.Parse(time.RFC3339, "2026-11-25T"+clock+"Z")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	want := rollout.State{
		Phase: rollout.Shifting, Revision: 7, Stable: "5ff6c4d4c8", Candidate: "77d766fcb8", Previous: "w88mc4vwrm", Rejected: "ggd24x7kkb",
		Aborted: &rollout.Setback{Version: "ggd24x7kkb", Reason: rollout.ReasonDeadlineExceeded, Message: "no progress in 10m0s", At: at("02:00:00"), Refused: true, Untouched: true},
		Step:    1, StandsAt: at("02:10:00"), Stands: true,
		Route: rollout.Route{
			Weights: rollout.Weights{"5ff6c4d4c8": 75, "77d766fcb8": 25}, Open: true, To: "77d766fcb8", Mirror: 10,
			Match: &rollout.Match{Header: map[string]string{"x-beta": "1"}, Cookie: map[string]string{"c": "2"}},
		},
		ConvergedAt: at("02:09:59"), ToldAt: at("02:09:58"), PhaseAt: at("02:09:00"), ProgressAt: at("02:09:57"), LookedAt: at("02:10:01"),
		Most: 2, Replicas: 3,
		Paused:   &rollout.Order{ID: 11, Verb: rollout.Pause, By: "ann", At: at("02:08:00")},
		Promoted: &rollout.Order{ID: 10, Verb: rollout.Promote, By: "ben", At: at("02:07:00")},
		Called:   &rollout.Order{ID: 9, Verb: rollout.Undo, By: "eve", At: at("02:06:00")},
		Full:     true, Done: 11, Reason: rollout.ReasonPaused, Message: "paused by ann",
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("read as %+v", s)
	}

	// And it goes on from there.
	s.Paused, s.Called, s.Full = nil, nil, false
	plan := rollout.Plan{App: "api", Strategy: rollout.Canary, Split: rollout.ByShare, Steps: []rollout.Step{{Weight: 25}, {Weight: 50, Manual: true}}}
	three := rollout.Standing{Asked: 3, Running: 3, Serving: 3}
	got := decide(plan, s, rollout.Snapshot{
		Now: s.LookedAt.Add(time.Second), Wanted: s.Candidate, Replicas: 3, Route: rollout.Route{Open: true}, Grade: rollout.Told,
		Versions: map[rollout.Version]rollout.Standing{s.Stable: three, s.Candidate: three},
	})
	if got.State.Phase != rollout.Shifting || got.State.Revision != 7 || got.State.Step != 1 {
		t.Errorf("it goes on with %+v", got.State)
	}
}
