package rollout

import (
	"fmt"
	"strings"
	"time"
)

// A PlannedStep is one thing that a rollout would do, and what stands when it is done.
type PlannedStep struct {
	// Phase is the phase that the step belongs to.
	Phase Phase `json:"phase"`
	// Stable and Candidate count the instances that serve then.
	Stable    int `json:"stable"`
	Candidate int `json:"candidate"`
	// Weight is the candidate's share of the traffic in percent that will really happen, and Asked the one that the plan asks for.
	// They differ where traffic follows instances: 1 replica knows only 0, 50 and 100.
	Weight int `json:"weight"`
	Asked  int `json:"asked"`
	// Pause is how long the step lasts at least; Manual, that it lasts until somebody promotes.
	Pause  time.Duration `json:"pause,omitempty"`
	Manual bool          `json:"manual,omitempty"`
	// Gates are the names of those that must pass before the next step.
	Gates []string `json:"gates,omitempty"`
	// Text says it in one sentence without a full stop.
	Text string `json:"text"`
}

// Preview tells what a rollout from stable to candidate would do if all goes well, step by step. An empty stable means that the
// candidate is the first version.
func (p Plan) Preview(stable, candidate Version, replicas int) []PlannedStep {
	p = Defaults(p)
	pv := preview{plan: p, s: stable, c: candidate, r: replicas}
	switch {
	case stable == candidate:
		pv.add(PlannedStep{Phase: Idle, Stable: replicas, Text: fmt.Sprintf("nothing: %s serves already", stable)})
	case stable == "":
		pv.add(PlannedStep{Phase: Preparing, Candidate: replicas, Text: fmt.Sprintf("%s starts with %s", candidate, instances(replicas))})
		pv.allTraffic(0)
	case p.Strategy == Recreate:
		pv.before()
		pv.recreate()
	case replicas == 0:
		pv.add(PlannedStep{Phase: Promoting, Weight: 100, Asked: 100, Text: fmt.Sprintf("nothing serves, so %s takes the place of %s at once", candidate, stable)})
	default:
		pv.before()
		map[Strategy]func(){Rolling: pv.rolling, BlueGreen: pv.blueGreen, Canary: pv.canary}[p.Strategy]()
	}
	return pv.steps
}

// Most is how many instances a rollout may ask for at the same time on its way forward, of so many replicas.
func (p Plan) Most(replicas int) int {
	p = Defaults(p)
	switch {
	case replicas == 0 || p.Strategy == Recreate:
		return replicas
	case p.Strategy == BlueGreen, p.Strategy == Canary && p.Split == ByWeight:
		return 2 * replicas
	case p.Strategy == Rolling && p.MaxSurge == 0 && p.MaxUnavailable >= replicas:
		return replicas + 1 // as room has it
	}
	return replicas + min(p.MaxSurge, replicas)
}

type preview struct {
	plan  Plan
	s, c  Version
	r     int
	steps []PlannedStep
}

func (pv *preview) add(s PlannedStep) { pv.steps = append(pv.steps, s) }

// before says which gates are asked before anything starts.
func (pv *preview) before() {
	if len(pv.plan.GatesAt(BeforeStart)) > 0 {
		pv.add(PlannedStep{Phase: Preparing, Stable: pv.r, Text: fmt.Sprintf("%s waits", pv.c)})
		pv.gate(BeforeStart)
	}
}

// gate adds the gates of a moment to the last step.
func (pv *preview) gate(m Moment) {
	last := &pv.steps[len(pv.steps)-1]
	var names []string
	for _, g := range pv.plan.GatesAt(m) {
		if !g.DryRun {
			names = append(names, g.Name)
		}
	}
	if len(names) > 0 {
		last.Gates = append(last.Gates, names...)
		last.Text += fmt.Sprintf("; it goes on when %s %s", strings.Join(names, ", "), map[bool]string{true: "passes", false: "pass"}[len(names) == 1])
	}
}

func (pv *preview) recreate() {
	pv.add(PlannedStep{Phase: Preparing, Text: fmt.Sprintf("%s stops; from here nothing serves", pv.s)})
	pv.add(PlannedStep{Phase: Preparing, Candidate: pv.r, Text: fmt.Sprintf("%s starts with %s", pv.c, instances(pv.r))})
	pv.allTraffic(0)
}

func (pv *preview) rolling() {
	r := pv.r
	stable, candidate := r, 0
	for candidate < r {
		stable = max(0, r-candidate-pv.plan.MaxUnavailable)
		candidate = min(r, r+pv.plan.MaxSurge-stable)
		weight, phase := carry(candidate, r), Shifting
		if candidate == r {
			weight, phase = 100, Promoting
		}
		if pv.plan.Split == ByShare && candidate < r {
			weight = 100 * candidate / (candidate + stable)
		}
		pv.add(PlannedStep{
			Phase: phase, Stable: stable, Candidate: candidate, Weight: weight, Asked: weight,
			Text: fmt.Sprintf("%s grows to %s beside %d of %s and gets %d %% of the traffic", pv.c, instances(candidate), stable, pv.s, weight),
		})
		if candidate == r {
			pv.gate(DuringStep)
			pv.gate(BeforePromotion)
		}
	}
	pv.gate(AfterPromotion)
	pv.old(stable)
}

func (pv *preview) blueGreen() {
	pv.add(PlannedStep{
		Phase: Preparing, Stable: pv.r, Candidate: pv.r, Manual: pv.plan.Manual,
		Text: fmt.Sprintf("%s starts with %s beside %s and gets no traffic", pv.c, instances(pv.r), pv.s),
	})
	if pv.plan.Manual {
		pv.steps[len(pv.steps)-1].Text += "; it waits for a promote"
	}
	pv.gate(BeforePromotion)
	pv.allTraffic(pv.r)
	if pv.plan.HoldBack > 0 {
		pv.add(PlannedStep{
			Phase: Finishing, Stable: pv.r, Candidate: pv.r, Weight: 100, Asked: 100, Pause: pv.plan.HoldBack,
			Text: fmt.Sprintf("%s stands by for %s; until then an undo is instant", pv.s, pv.plan.HoldBack),
		})
	}
	pv.old(pv.r)
}

func (pv *preview) canary() {
	stable := pv.r
	for _, s := range pv.plan.Steps {
		candidate, real := min(pv.r, need(s.load(), pv.r)), s.Weight
		if pv.plan.Split == ByShare {
			candidate = shareOf(s.Weight, pv.r, pv.plan.MaxSurge)
			stable = min(pv.r, pv.r+pv.plan.MaxSurge-candidate)
			if s.Weight > 0 && s.Weight < 100 {
				real = 100 * candidate / (candidate + stable)
			}
		}
		text := fmt.Sprintf("%s has %s beside %d of %s and gets %d %% of the traffic", pv.c, instances(candidate), stable, pv.s, real)
		if real != s.Weight {
			text += fmt.Sprintf(" (%d %% was asked for; with %s that share does not exist)", s.Weight, instances(pv.r))
		}
		if s.Match != nil && s.Match.Users > 0 {
			text += fmt.Sprintf(", and %s, who stay with it", s.Match)
		} else if s.Match != nil {
			text += fmt.Sprintf(", and all requests with %s", s.Match)
		}
		if s.Mirror > 0 {
			text += fmt.Sprintf(", and a copy of %d %% whose answers are dropped", s.Mirror)
		}
		if s.Pause > 0 {
			text += fmt.Sprintf(", for %s", s.Pause)
		}
		if s.Manual {
			text += ", until somebody promotes it"
		}
		pv.add(PlannedStep{
			Phase: Shifting, Stable: stable, Candidate: candidate, Weight: real, Asked: s.Weight, Pause: s.Pause, Manual: s.Manual, Text: text,
		})
		pv.gate(DuringStep)
	}
	if len(pv.plan.Steps) > 0 {
		pv.gate(BeforePromotion)
	}
	pv.allTraffic(stable)
	pv.old(stable)
}

func (pv *preview) allTraffic(stable int) {
	pv.add(PlannedStep{
		Phase: Promoting, Stable: stable, Candidate: pv.r, Weight: 100, Asked: 100,
		Text: fmt.Sprintf("all traffic goes to %s with %s", pv.c, instances(pv.r)),
	})
	if stable > 0 || pv.plan.Strategy == Recreate {
		pv.gate(AfterPromotion)
	}
}

// old ends the old version.
func (pv *preview) old(stable int) {
	text := fmt.Sprintf("%s has no traffic, drains for %s and stops", pv.s, pv.plan.Drain)
	switch {
	case stable == 0:
		text = fmt.Sprintf("%s is gone", pv.s)
	case pv.plan.Drain == 0:
		text = fmt.Sprintf("%s has no traffic, answers what it has and stops", pv.s)
	}
	pv.add(PlannedStep{Phase: Finishing, Candidate: pv.r, Weight: 100, Asked: 100, Text: text})
}
