package rollout

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An ideal world does at once all that it is told.
type ideal struct {
	plan  Plan
	state State
	seen  Snapshot
}

func newIdeal(p Plan, replicas int) *ideal {
	w := &ideal{plan: p, seen: Snapshot{
		Now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), Wanted: "1", Replicas: replicas, Grade: Seen,
		Versions: map[Version]Standing{"1": {Asked: replicas, Running: replicas, Serving: replicas}},
		Route:    Route{Weights: Weights{"1": 100}, Open: p.Split == ByShare},
	}}
	return w
}

// look decides once, and has it happen.
func (w *ideal) look() Decision {
	w.seen.Now = w.seen.Now.Add(time.Second)
	d := Decide(w.plan, w.state, w.seen)
	w.state = d.State
	for _, a := range d.Actions {
		switch a.Kind {
		case Scale:
			w.seen.Versions[a.Version] = Standing{Asked: a.Replicas, Running: a.Replicas, Serving: a.Replicas}
		case SetRoute:
			w.seen.Route = *a.Route
		case WriteBack:
			w.seen.Wanted = a.Version
		case Remove:
			delete(w.seen.Versions, a.Version)
		case Release:
			w.seen.Taken = false
		}
	}
	return d
}

// share is the part of the traffic that the candidate really gets.
func (w *ideal) share(candidate Version) int {
	if !w.seen.Route.Open {
		return w.seen.Route.Weights[candidate]
	}
	total := 0
	for _, st := range w.seen.Versions {
		total += st.Serving
	}
	if total == 0 {
		return 0
	}
	return 100 * w.seen.Versions[candidate].Serving / total
}

func plans() []Plan {
	steps := []Step{{Weight: 10, Pause: 3 * time.Second}, {Weight: 30, Pause: 3 * time.Second}, {Weight: 50, Pause: 3 * time.Second}, {Weight: 80, Pause: 3 * time.Second}}
	var all []Plan
	for _, split := range []Split{ByWeight, ByShare} {
		for _, p := range []Plan{
			{Strategy: Recreate},
			{Strategy: Rolling, MaxSurge: 1},
			{Strategy: Rolling, MaxSurge: 2, MaxUnavailable: 1},
			{Strategy: BlueGreen, HoldBack: 5 * time.Second},
			{Strategy: Canary, Steps: steps},
		} {
			p.Split, p.Drain, p.Deadline = split, 2*time.Second, time.Minute
			all = append(all, p)
		}
	}
	return all
}

func TestPassage_EndsWithTheCandidateServingAlone(t *testing.T) {
	for _, p := range plans() {
		for replicas := range 6 {
			t.Run(fmt.Sprintf("%s by %s, %d", p.Strategy, p.Split, replicas), func(t *testing.T) {
				w := newIdeal(p, replicas)
				w.look()
				w.seen.Wanted, w.seen.Taken = "2", true
				for range 200 {
					w.look()
				}
				want := State{Phase: Idle, Stable: "2", Previous: "1"}
				got := State{Phase: w.state.Phase, Stable: w.state.Stable, Previous: w.state.Previous}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatal(diff)
				}
				if w.seen.Taken || w.seen.Versions["1"].Running > 0 || w.seen.Versions["2"].Running != replicas || w.share("2") != 100 && replicas > 0 {
					t.Fatalf("%+v", w.seen)
				}
			})
		}
	}
}

// TestPreview_TellsTheSharesThatHappen holds what a plan says against what a passage does.
func TestPreview_TellsTheSharesThatHappen(t *testing.T) {
	for _, p := range plans() {
		for _, replicas := range []int{1, 2, 3, 4, 5, 10} {
			t.Run(fmt.Sprintf("%s by %s, %d", p.Strategy, p.Split, replicas), func(t *testing.T) {
				var said []int
				for _, s := range p.Preview("1", "2", replicas) {
					if s.Weight > 0 {
						said = append(said, s.Weight)
					}
				}
				w := newIdeal(p, replicas)
				w.look()
				w.seen.Wanted = "2"
				var happened []int
				for range 400 {
					d := w.look()
					standing := d.Reason == ReasonStepStanding || p.Strategy != Canary || d.State.Phase != Shifting
					settled := len(d.Actions) == 0 || p.Strategy == Rolling
					if share := w.share("2"); share > 0 && standing && settled && d.State.Phase != Preparing {
						happened = append(happened, share)
					}
				}
				said, happened = slices.Compact(said), slices.Compact(happened)
				if p.Strategy == Rolling && p.Split == ByShare {
					t.Skip("between two looks the share passes through more values than a preview names")
				}
				if p.Strategy == Canary && p.Split == ByShare {
					happened = slices.DeleteFunc(happened, func(n int) bool { return !slices.Contains(said, n) })
				}
				if diff := cmp.Diff(said, happened); diff != "" {
					t.Fatalf("said -, happened +:\n%s", diff)
				}
			})
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	w := newIdeal(Plan{Strategy: Canary, Steps: []Step{{Weight: 25, Pause: time.Hour}}, Drain: time.Second}, 3)
	w.look()
	w.seen.Wanted = "2"
	for range 20 {
		w.look()
	}
	b.ReportAllocs()
	for b.Loop() {
		Decide(w.plan, w.state, w.seen)
	}
}

func TestOrders_ToWhatIsForgottenAreRefused(t *testing.T) {
	for _, verb := range []Verb{Undo, Retry} {
		w := newIdeal(Plan{App: "api", Strategy: BlueGreen}, 2)
		w.look()
		w.state.Previous, w.state.Rejected = "0", "0"
		w.seen.Forgotten = []Version{"0"}
		w.seen.Orders = []Order{{ID: 1, Verb: verb, By: "ann"}}
		d := w.look()
		if len(d.Answers) != 1 || d.Answers[0].Obeyed || d.State.Phase != Idle {
			t.Errorf("%s: %+v in %s", verb, d.Answers, d.State.Phase)
		}
		w.seen.Forgotten, w.seen.Orders = nil, []Order{{ID: 2, Verb: verb, By: "ann"}}
		if d = w.look(); len(d.Answers) != 1 || !d.Answers[0].Obeyed || d.State.Candidate != "0" {
			t.Errorf("%s of what is there: %+v", verb, d.Answers)
		}
	}
}
