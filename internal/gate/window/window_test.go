package window_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/gate/window"
	"gapless.dev/gapless/internal/rollout"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	m, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var office = spec.Window{
	Zone:  "Europe/Berlin",
	Allow: []spec.Hours{{Days: []time.Weekday{1, 2, 3, 4}, From: 9 * 60, To: 17 * 60}, {Days: []time.Weekday{5}, From: 22 * 60, To: 60}},
	Freeze: []spec.Freeze{
		{From: "2026-12-21", To: "2026-12-31", Why: "holidays"},
		{From: "2026-03-30T12:00", To: "2026-03-30T13:00"},
	},
}

func TestOpen_KnowsDaysHoursZonesAndFreezes(t *testing.T) {
	w, err := window.New(office)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]struct {
		open bool
		why  string
	}{
		"2026-01-05T07:59:00Z": {false, "closed; rollouts happen Mon Tue Wed Thu 09:00-17:00 (Europe/Berlin), Fri 22:00-01:00 (Europe/Berlin)"},
		"2026-01-05T08:00:00Z": {true, "open: Mon Tue Wed Thu 09:00-17:00 (Europe/Berlin)"},
		"2026-07-06T07:00:00Z": {true, "open: Mon Tue Wed Thu 09:00-17:00 (Europe/Berlin)"}, // an hour earlier in summer
		"2026-01-05T16:00:00Z": {false, "closed; rollouts happen Mon Tue Wed Thu 09:00-17:00 (Europe/Berlin), Fri 22:00-01:00 (Europe/Berlin)"},
		"2026-01-09T23:30:00Z": {true, "open: Fri 22:00-01:00 (Europe/Berlin)"}, // Saturday 0:30, begun on Friday
		"2026-01-10T00:30:00Z": {false, "closed; rollouts happen Mon Tue Wed Thu 09:00-17:00 (Europe/Berlin), Fri 22:00-01:00 (Europe/Berlin)"},
		"2026-12-22T10:00:00Z": {false, "frozen from 2026-12-21 to 2026-12-31: holidays"},
		"2026-12-31T22:59:00Z": {false, "frozen from 2026-12-21 to 2026-12-31: holidays"}, // the last day is in it
		"2026-03-30T10:30:00Z": {false, "frozen from 2026-03-30T12:00 to 2026-03-30T13:00"},
		"2026-03-30T11:00:00Z": {true, "open: Mon Tue Wed Thu 09:00-17:00 (Europe/Berlin)"},
	} {
		open, why := w.Open(at(t, text))
		if open != want.open || why != want.why {
			t.Errorf("%s: %v, %s", text, open, why)
		}
	}
}

func TestWatch_SaysWhenItOpensAndThatItIsOpen(t *testing.T) {
	w, err := window.New(office)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		// The bubble's clock begins on 2000-01-01, a Saturday.
		ctx, stop := context.WithCancel(t.Context())
		var said []rollout.Verdict
		done := make(chan error)
		go func() {
			done <- w.Watch(ctx, gate.Question{}, func(v rollout.Verdict) {
				if n := len(said); n == 0 || said[n-1].Outcome != v.Outcome {
					said = append(said, v)
				}
			})
		}()
		time.Sleep(3 * 24 * time.Hour)
		synctest.Wait()
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := []rollout.Verdict{
			{Outcome: rollout.Wait, Reason: "closed; rollouts happen Mon Tue Wed Thu 09:00-17:00 (Europe/Berlin), Fri 22:00-01:00 (Europe/Berlin); it opens on Mon 2000-01-03 at 09:00 CET"},
			{Outcome: rollout.Pass, Reason: "open: Mon Tue Wed Thu 09:00-17:00 (Europe/Berlin)"},
			{Outcome: rollout.Wait, Reason: "closed; rollouts happen Mon Tue Wed Thu 09:00-17:00 (Europe/Berlin), Fri 22:00-01:00 (Europe/Berlin); it opens on Tue 2000-01-04 at 09:00 CET"},
		}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWatch_KnowsWhenItOpensBehindAFreeze(t *testing.T) {
	w, err := window.New(office)
	if err != nil {
		t.Fatal(err)
	}
	w.Now = func() time.Time { return at(t, "2026-12-22T10:00:00Z") }
	ctx, stop := context.WithCancel(t.Context())
	_ = w.Watch(ctx, gate.Question{}, func(v rollout.Verdict) {
		stop()
		// 2027-01-01 is a Friday: the night window.
		if want := "frozen from 2026-12-21 to 2026-12-31: holidays; it opens on Fri 2027-01-01 at 22:00 CET"; v.Reason != want {
			t.Error(v.Reason)
		}
	})
}

func TestNew_RefusesZonesThatDoNotExist(t *testing.T) {
	if _, err := window.New(spec.Window{Zone: "Europe/Nowhere"}); err == nil {
		t.Error("no error")
	}
}
