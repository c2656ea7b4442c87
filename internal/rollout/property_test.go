package rollout

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The properties are asked of any state and any snapshot, also of such as no passage leads to. What only a passage can show
// (I8, I9, and all of them against the truth) is for the worlds of rollouttest.

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func anyPlan() *rapid.Generator[Plan] {
	return rapid.Custom(func(t *rapid.T) Plan {
		p := Plan{
			App:            "api",
			Strategy:       rapid.SampledFrom([]Strategy{Recreate, Rolling, BlueGreen, Canary}).Draw(t, "strategy"),
			Split:          rapid.SampledFrom([]Split{ByWeight, ByShare}).Draw(t, "split"),
			MaxSurge:       rapid.IntRange(0, 3).Draw(t, "surge"),
			MaxUnavailable: rapid.IntRange(0, 3).Draw(t, "unavailable"),
			Manual:         rapid.Bool().Draw(t, "manual"),
			HoldBack:       time.Duration(rapid.IntRange(0, 20).Draw(t, "holdback")) * time.Second,
			Drain:          time.Duration(rapid.IntRange(0, 10).Draw(t, "drain")) * time.Second,
			Deadline:       time.Duration(rapid.IntRange(0, 60).Draw(t, "deadline")) * time.Second,
		}
		weight := 0
		for range rapid.IntRange(1, 3).Draw(t, "steps") {
			weight = rapid.IntRange(weight, 100).Draw(t, "weight")
			p.Steps = append(p.Steps, Step{
				Weight: weight, Manual: rapid.Bool().Draw(t, "manual"), Pause: time.Duration(rapid.IntRange(0, 9).Draw(t, "pause")) * time.Second,
			})
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "gates") {
			p.Gates = append(p.Gates, Gate{
				Name:     []string{"a", "b"}[i],
				At:       rapid.SliceOfNDistinct(rapid.SampledFrom(Moments), 1, 4, rapid.ID).Draw(t, "at"),
				Deadline: time.Duration(rapid.IntRange(0, 30).Draw(t, "gate's deadline")) * time.Second,
				Hold:     rapid.Bool().Draw(t, "hold"), DryRun: rapid.Bool().Draw(t, "dry run"),
			})
		}
		return p
	})
}

// anyVerdicts are answers to a question, and to none.
func anyVerdicts(t *rapid.T, key string) map[string]Verdict {
	all := map[string]Verdict{}
	for _, name := range []string{"a", "b"} {
		if rapid.Bool().Draw(t, name+" answers") {
			all[name] = Verdict{
				Of:      rapid.SampledFrom([]string{key, "1/step/1"}).Draw(t, "of"),
				Outcome: rapid.SampledFrom([]Outcome{Pass, Fail, Wait, Inconclusive}).Draw(t, "outcome"), Reason: "so it is",
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// anyQuestion may be put in a phase, or none is.
func anyQuestion(t *rapid.T, s State) *Question {
	moments := map[Phase][]Moment{
		Preparing: {BeforeStart, BeforePromotion}, Shifting: {DuringStep, BeforePromotion}, Finishing: {AfterPromotion},
	}[s.Phase]
	if len(moments) == 0 || rapid.Bool().Draw(t, "not asked") {
		return nil
	}
	q := &Question{Revision: s.Revision, Moment: rapid.SampledFrom(moments).Draw(t, "asked"), Since: start}
	if q.Moment == DuringStep {
		q.Step = s.Step
	}
	if rapid.Bool().Draw(t, "waits for it alone") {
		q.From = start.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "from")) * time.Second)
	}
	return q
}

func anyRoute() *rapid.Generator[Route] {
	return rapid.Custom(func(t *rapid.T) Route {
		w := rapid.IntRange(0, 100).Draw(t, "weight")
		r := Route{Weights: Weights{"1": 100 - w, "2": w}, Open: rapid.IntRange(0, 4).Draw(t, "open") == 0}
		if rapid.IntRange(0, 4).Draw(t, "matched") == 0 {
			r.To, r.Match = "2", &Match{Header: map[string]string{"x-beta": "1"}}
		}
		return r
	})
}

func anyStanding() *rapid.Generator[Standing] {
	return rapid.Custom(func(t *rapid.T) Standing {
		asked := rapid.IntRange(0, 7).Draw(t, "asked")
		running := rapid.IntRange(0, asked).Draw(t, "running")
		return Standing{
			Asked: asked, Running: running, Serving: rapid.IntRange(0, running).Draw(t, "serving"),
			Stopping: rapid.IntRange(0, 2).Draw(t, "stopping"), InFlight: rapid.IntRange(-1, 3).Draw(t, "in flight"),
		}
	})
}

func anySnapshot() *rapid.Generator[Snapshot] {
	return rapid.Custom(func(t *rapid.T) Snapshot {
		s := Snapshot{
			Now:      start.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "now")) * time.Second),
			Wanted:   rapid.SampledFrom([]Version{"1", "2", "3"}).Draw(t, "wanted"),
			Replicas: rapid.IntRange(0, 7).Draw(t, "replicas"),
			Versions: map[Version]Standing{},
			Route:    anyRoute().Draw(t, "route"),
			Grade:    rapid.SampledFrom([]Grade{NotYet, Told, Acknowledged, Seen}).Draw(t, "grade"),
			Taken:    rapid.Bool().Draw(t, "taken"),
		}
		for _, v := range []Version{"1", "2", "3"} {
			if rapid.Bool().Draw(t, "stands") {
				s.Versions[v] = anyStanding().Draw(t, string(v))
			}
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "orders") {
			verb := rapid.SampledFrom([]Verb{Promote, PromoteFull, Abort, Undo, Pause, Resume, Retry}).Draw(t, "verb")
			s.Orders = append(s.Orders, Order{ID: int64(i + 1), Verb: verb, By: "ann"})
		}
		return s
	})
}

func anyState() *rapid.Generator[State] {
	return rapid.Custom(func(t *rapid.T) State {
		at := func(name string) time.Time {
			if rapid.Bool().Draw(t, name+" unset") {
				return time.Time{}
			}
			return start.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, name)) * time.Second)
		}
		s := State{
			Phase:    rapid.SampledFrom([]Phase{Idle, Held, Preparing, Shifting, Promoting, Finishing, Aborting}).Draw(t, "phase"),
			Revision: 2, Stable: "1", Previous: rapid.SampledFrom([]Version{"", "0", "3"}).Draw(t, "previous"),
			Step: rapid.IntRange(0, 3).Draw(t, "step"), Route: anyRoute().Draw(t, "told"),
			ConvergedAt: at("converged"), ToldAt: at("told at"), PhaseAt: at("phase"), ProgressAt: at("progress"), StandsAt: at("stands"),
			LookedAt: at("looked"), Most: rapid.IntRange(0, 4).Draw(t, "most"), Replicas: rapid.IntRange(0, 7).Draw(t, "was replicas"),
			Full: rapid.Bool().Draw(t, "full"), Done: int64(rapid.IntRange(0, 2).Draw(t, "done")),
		}
		switch s.Phase {
		case Idle:
		case Held:
			s.Rejected = "2"
		default:
			s.Candidate = "2"
			if rapid.Bool().Draw(t, "paused") && s.Phase != Aborting {
				s.Paused = &Order{By: "bob"}
			}
			if s.Phase == Finishing {
				s.Route = pin("2") // that is how it got there
			}
			if s.Asked = anyQuestion(t, s); s.Asked != nil {
				s.Gates = anyVerdicts(t, s.Asked.Key())
			}
			if s.Phase == Aborting {
				s.Rejected = rapid.SampledFrom([]Version{"", "2"}).Draw(t, "rejected")
			}
		}
		return s
	})
}

// decided draws a world and a decision about it.
func decided(t *rapid.T) (Plan, State, Snapshot, Decision) {
	p, s, seen := anyPlan().Draw(t, "plan"), anyState().Draw(t, "state"), anySnapshot().Draw(t, "seen")
	if s.Asked != nil {
		seen.Gates = anyVerdicts(t, s.Asked.Key())
	}
	return p, s, seen, Decide(p, s, seen)
}

func TestDecide_SaysTheSameOfTheSameAndChangesNothingOfIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, seen := anyPlan().Draw(t, "plan"), anyState().Draw(t, "state"), anySnapshot().Draw(t, "seen")
		before := print(t, p, s, seen)
		first := Decide(p, s, seen)
		if after := print(t, p, s, seen); after != before {
			t.Fatalf("the arguments changed:\n%s", cmp.Diff(before, after))
		}
		if diff := cmp.Diff(first, Decide(p, s, seen)); diff != "" {
			t.Fatalf("the second answer differs:\n%s", diff)
		}
	})
}

// A state that was stored and read again decides the same: a crash changes nothing but time.
func TestDecide_DoesNotNoticeThatTheStateWasStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, seen, d := decided(t)
		var again State
		if err := json.Unmarshal([]byte(print(t, s)), &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, Decide(p, again, seen)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestDecide_GoesAlongTheTableOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if _, _, _, d := decided(t); d.Reason == ReasonIllegalTransition {
			t.Fatal(d.Message)
		}
	})
}

func TestDecide_GivesAReasonAndAMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, s, seen, d := decided(t)
		late := seen.Now.Before(s.LookedAt)
		if !late && (d.Reason == "" || d.Message == "") {
			t.Fatalf("%s: reason %q, message %q", d.State.Phase, d.Reason, d.Message)
		}
	})
}

func TestI1_WeightsSumTo100(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, _, _, d := decided(t)
		sum := 0
		for _, w := range d.State.Route.Weights {
			sum += w
		}
		if sum != 100 {
			t.Fatalf("%v", d.State.Route)
		}
		for _, a := range d.Actions {
			if a.Kind == SetRoute && !a.Route.Equal(d.State.Route) {
				t.Fatalf("told %v and remembered %v", a.Route, d.State.Route)
			}
		}
	})
}

func TestI1_TheCandidateGetsNoMoreThanItCarries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, seen, d := decided(t)
		now, was := d.State.Weight(), s.Route.Weights["2"]
		if d.State.Candidate != "2" || d.State.Route.Open || now <= was || seen.Replicas == 0 || p.Strategy == Rolling && p.MaxUnavailable > 0 {
			return
		}
		if c := seen.Versions["2"].Serving; now > bound(c, seen.Replicas) {
			t.Fatalf("%d %% with %d of %d serving", now, c, seen.Replicas)
		}
	})
}

func TestI2_NothingThatIsSentTrafficIsTakenAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, _, seen, d := decided(t)
		if p.Strategy == Recreate || seen.Replicas == 0 {
			return
		}
		for _, a := range d.Actions {
			toNothing := a.Kind == Scale && a.Replicas == 0 && seen.Versions[a.Version].Running > 0 || a.Kind == Remove
			if !toNothing {
				continue
			}
			if d.State.ConvergedAt.IsZero() || seen.Grade == NotYet || !seen.Route.Equal(d.State.Route) || seen.Route.Reaches(a.Version) {
				t.Fatalf("%s %s while the data plane has %v", a.Kind, a.Version, seen.Route)
			}
			if seen.Now.Before(d.State.ConvergedAt.Add(p.Drain)) {
				t.Fatalf("%s %s before the drain has passed", a.Kind, a.Version)
			}
		}
	})
}

func TestI3_ARouteIsWrittenAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, _, seen, d := decided(t)
		if !slices.ContainsFunc(d.Actions, func(a Action) bool { return a.Kind == SetRoute }) {
			return
		}
		routes := 0
		for _, a := range d.Actions {
			if a.Kind == SetRoute {
				routes++
			} else if a.Kind != Scale || a.Replicas < seen.Versions[a.Version].Asked {
				t.Fatalf("%v", d.Actions)
			}
		}
		if routes > 1 {
			t.Fatalf("%v", d.Actions)
		}
	})
}

func TestI3_WeightGoesForwardOnlyFromWhatHasArrived(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, s, seen, d := decided(t)
		if d.State.Candidate != s.Candidate || d.State.Weight() <= s.Route.Weights["2"] || s.Candidate == "" {
			return
		}
		if seen.Grade == NotYet || !seen.Route.Equal(s.Route) || !seen.Now.After(s.ToldAt) {
			t.Fatalf("from %v to %v while the data plane has %v", s.Route, d.State.Route, seen.Route)
		}
	})
}

func TestI4_StableIsNotScaledBelowWhatIsAskedForWhileItIsSentTraffic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, _, seen, d := decided(t)
		if p.Strategy == Recreate || p.Strategy == Rolling || p.Split == ByShare {
			return
		}
		for _, a := range d.Actions {
			if a.Kind == Scale && a.Version == d.State.Stable && a.Replicas < seen.Replicas && d.State.Route.Reaches(a.Version) {
				t.Fatalf("%d of %d in %s, told %v", a.Replicas, seen.Replicas, d.State.Phase, d.State.Route)
			}
		}
	})
}

func TestI6_AnAbortBringsCapacityBeforeTraffic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, seen, d := decided(t)
		if d.State.Phase != Aborting || d.State.Candidate != "2" || seen.Replicas == 0 || seen.Versions["2"].Serving == 0 || p.Strategy == Recreate || s.Route.Open {
			return
		}
		stable, was := d.State.Route.Weights["1"], s.Route.Weights["1"]
		spare := 0 // without surge the last instances only have room when the candidate is gone
		if p := Defaults(p); p.Strategy == Rolling && p.MaxSurge == 0 {
			spare = p.MaxUnavailable
		}
		if stable > was && !d.State.Route.Open && stable > bound(seen.Versions["1"].Serving+spare, seen.Replicas) {
			t.Fatalf("stable goes from %d to %d %% with %d of %d serving", was, stable, seen.Versions["1"].Serving, seen.Replicas)
		}
		for _, a := range d.Actions {
			if a.Kind == WriteBack && (d.State.Route.Reaches("2") || !seen.Route.Equal(d.State.Route)) {
				t.Fatalf("the template is written while the data plane has %v", seen.Route)
			}
		}
	})
}

func TestI7_ADeadCandidateHasNoWeightInTheSameLook(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, seen, d := decided(t)
		if !d.State.LookedAt.Equal(seen.Now) || d.Reason == ReasonClockSetBack || seen.Replicas == 0 || p.Strategy == Recreate {
			return
		}
		switch {
		case d.State.Phase != Shifting && d.State.Phase != Promoting && d.State.Phase != Aborting, d.State.Candidate != "2":
		case s.Candidate != "2" || seen.Versions["2"].Serving > 0 || seen.Versions["1"].Serving == 0 || d.State.Route.Open:
		case d.State.Route.Reaches("2"):
			t.Fatalf("in %s it is told %v", d.State.Phase, d.State.Route)
		}
	})
}

func TestI8_PastTheDeadlineItAborts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, seen := anyPlan().Draw(t, "plan"), anyState().Draw(t, "state"), anySnapshot().Draw(t, "seen")
		s.Phase = rapid.SampledFrom([]Phase{Preparing, Shifting}).Draw(t, "phase")
		if p.Strategy != Canary && p.Strategy != Rolling {
			s.Phase = Preparing
		}
		s.Candidate, s.Rejected, s.Paused, s.Stands, s.Most = "2", "", nil, false, 7
		seen.Wanted, seen.Orders, seen.Replicas = "2", nil, max(1, seen.Replicas)
		s.Replicas, s.Full, s.Step = seen.Replicas, false, 0
		seen.Versions["2"] = Standing{Asked: 7, Running: 7, Failure: "exit status 1"}
		p.Deadline, p.Gates = max(time.Second, p.Deadline), nil
		s.ProgressAt, s.LookedAt = seen.Now.Add(-p.Deadline), seen.Now
		if d := Decide(p, s, seen); d.State.Phase != Aborting || d.State.Rejected != "2" {
			t.Fatalf("%s %s: %s", d.State.Phase, d.Reason, d.Message)
		}
	})
}

func TestGates_OneThatFailsTurnsBackInTheSameLook(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, seen, d := decided(t)
		if s.Asked == nil || seen.Replicas == 0 || s.Full || d.State.Full || !d.State.LookedAt.Equal(seen.Now) || d.Reason == ReasonClockSetBack {
			return
		}
		for _, g := range p.GatesAt(s.Asked.Moment) {
			v := seen.Gates[g.Name]
			if g.DryRun || v.Of != s.Asked.Key() || v.Outcome != Fail || d.State.Asked == nil {
				continue
			}
			if d.State.Asked.Key() == s.Asked.Key() && d.State.Asked.Waived == nil {
				t.Fatalf("%s failed, and in %s it is still asked", g.Name, d.State.Phase)
			}
		}
	})
}

// Once they were heard out, or had their time for it, everything goes on as if nobody had been asked.
func TestGates_ThatOnlyReportChangeNothingButTheQuestion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, seen := anyPlan().Draw(t, "plan"), anyState().Draw(t, "state"), anySnapshot().Draw(t, "seen")
		m := rapid.SampledFrom(Moments).Draw(t, "moment")
		for i := range p.Gates {
			p.Gates[i].DryRun, p.Gates[i].At = true, []Moment{m}
		}
		s.Asked, s.Gates, p.Deadline = nil, nil, 0 // the time of a deadline begins when they were heard
		reporting := Decide(p, s, seen)
		if q := reporting.State.Asked; q != nil && m != DuringStep {
			q.Since = seen.Now.Add(-hearing)
			reporting = Decide(p, reporting.State, seen)
		}
		p.Gates = nil
		without := Decide(p, s, seen)
		if diff := cmp.Diff(without.Actions, reporting.Actions); diff != "" {
			t.Fatal(diff)
		}
		if without.State.Phase != reporting.State.Phase || without.State.Step != reporting.State.Step {
			t.Fatalf("%s %d with them, %s %d without", reporting.State.Phase, reporting.State.Step, without.State.Phase, without.State.Step)
		}
	})
}

func TestI9_AtRestOnlyStableIsTouchedAndTheAppIsGivenBackLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, _, seen, d := decided(t)
		if d.State.Phase != Idle && d.State.Phase != Held {
			return
		}
		for _, a := range d.Actions {
			switch {
			case a.Kind == Scale && a.Version != d.State.Stable && a.Replicas > 0:
				t.Fatalf("%s starts in %s", a.Version, d.State.Phase)
			case a.Kind == Release && d.State.Phase == Held:
				t.Fatal("a held app is given back")
			case a.Kind == Release && (!seen.Route.Equal(d.State.Route) || seen.Route.Open != (p.Split == ByShare) || seen.Wanted != d.State.Stable):
				t.Fatalf("given back with %v, and %s is wanted", seen.Route, seen.Wanted)
			}
		}
	})
}

func print(t *rapid.T, values ...any) string {
	t.Helper()
	raw, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	if len(values) == 1 {
		return string(raw[1 : len(raw)-1])
	}
	return string(raw)
}
