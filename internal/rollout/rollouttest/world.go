// Package rollouttest is a world for the engine to get wrong: instances, a data plane, a template, people, and a controller
// that dies at any write. A world follows from its seed alone. After each step it is asked, of the truth and not of what the
// engine believes, whether every invariant holds.
package rollouttest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// An Engine is something that decides, and the loop's habits around it. The right one is Right; Broken holds wrong ones.
type Engine struct {
	// Name is what the engine does, and Breaks the invariant that it breaks.
	Name, Breaks string
	// Decide makes a decider for one world. It may keep state between its calls: a right engine has none.
	Decide func() Decider
	// SavesAfter has the loop save a state after its actions, instead of before.
	SavesAfter bool
}

// A Decider has the shape of rollout.Decide.
type Decider func(rollout.Plan, rollout.State, rollout.Snapshot) rollout.Decision

// Right is the engine as it is.
var Right = Engine{Name: "the engine", Decide: func() Decider { return rollout.Decide }}

// A Failure is a broken invariant.
type Failure struct {
	Seed  uint64
	Rule  string
	What  string
	Trace []string
}

// Error names the rule, what broke it, and the seed that shows it again.
func (f *Failure) Error() string { return fmt.Sprintf("seed %d: %s: %s", f.Seed, f.Rule, f.What) }

// Run plays the world of a seed against an engine, and returns the first failure or nil. With trace, the failure holds a line for
// each thing that happened.
func Run(seed uint64, e Engine, trace bool) *Failure {
	w := newWorld(seed, e, trace)
	w.play()
	if w.failure != nil {
		w.failure.Trace = w.lines
	}
	return w.failure
}

// A world is all there is. Its own clock, ticks, only goes forward; the clock that the controller reads is skewed from it.
type world struct {
	seed    uint64
	rng     *rand.Rand
	engine  Engine
	decide  Decider
	tracing bool
	lines   []string
	failure *Failure

	elapsed time.Duration
	skew    time.Duration
	quiet   bool // the faults have ended

	plan     rollout.Plan
	wanted   rollout.Version
	replicas int
	taken    bool
	orders   []rollout.Order
	lastID   int64
	answered map[int64]bool
	names    int

	versions []*version
	plane    plane
	grade    rollout.Grade
	blind    bool       // in-flight requests cannot be counted
	lag      *rand.Rand // if not nil, the data plane hears of what serves some time later
	most     int        // instances that there is room for; 0: as many as anybody wants
	gitops   int        // how likely, in a tick, somebody writes the template that the user asked for where it is another one
	asked    rollout.Version

	desk    desk
	control controller
	watch   watch
	faults  faults
	counts  map[string]int // what happened how often; nil: nobody asks
}

// faults are how likely each fault is in a tick, in thousandths. A world draws its own mixture.
type faults struct {
	crash, lostWrite, conflict, late, peek           int
	template, scale, order, plan, tamper, stuck, die int
	clock                                            int
}

var strategies = []rollout.Strategy{rollout.Recreate, rollout.Rolling, rollout.BlueGreen, rollout.Canary}

func newWorld(seed uint64, e Engine, trace bool) *world {
	w := &world{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0x9a91e55)), engine: e, decide: e.Decide(), tracing: trace,
		answered: map[int64]bool{}, desk: newDesk(),
	}
	w.plan = w.drawPlan()
	w.replicas = []int{3, 3, 1, 2, 4, 5, 0, 7}[w.rng.IntN(8)]
	w.grade = []rollout.Grade{rollout.Told, rollout.Acknowledged, rollout.Seen}[w.rng.IntN(3)]
	w.blind = w.chance(300)
	w.faults = w.drawFaults()
	if lazy := rand.New(rand.NewPCG(seed, 0x1a2e)); lazy.IntN(1000) < 400 {
		w.control.lazy = lazy
	}
	if lag := rand.New(rand.NewPCG(seed, 0x1a9)); lag.IntN(1000) < 300 {
		w.lag = lag
	}
	if tight := rand.New(rand.NewPCG(seed, 0x700f)); tight.IntN(1000) < 300 {
		w.most = max(1, w.plan.Most(w.replicas))
	}
	w.gitops = []int{0, 0, 0, 0, 0, 0, 300, 1000}[w.rng.IntN(8)]
	w.wanted = w.newVersion(good).name
	w.asked = w.wanted
	w.taken = true
	if w.plan.Split == rollout.ByShare {
		w.plane.live.Open, w.plane.api.Open = true, true
	}
	w.say("world", "%s by %s, %d replicas, drain %s, hold-back %s, deadline %s, surge %d, unavailable %d, steps %+v, gates %+v",
		w.plan.Strategy, w.plan.Split, w.replicas, w.plan.Drain, w.plan.HoldBack, w.plan.Deadline, w.plan.MaxSurge, w.plan.MaxUnavailable, w.plan.Steps, w.plan.Gates)
	return w
}

func (w *world) drawPlan() rollout.Plan {
	p := rollout.Plan{
		App: "app", Strategy: strategies[w.rng.IntN(4)], Split: rollout.ByWeight,
		MaxSurge: w.rng.IntN(3), MaxUnavailable: w.rng.IntN(2),
		Manual: w.chance(300), HoldBack: time.Duration(w.rng.IntN(3)) * 5 * time.Second,
		Drain:    time.Duration(w.rng.IntN(4)) * 2 * time.Second,
		Deadline: 40 * time.Second,
	}
	if w.chance(250) {
		p.Split = rollout.ByShare
	}
	weight := 0
	for range 1 + w.rng.IntN(3) {
		weight = min(100, weight+w.rng.IntN(50))
		s := rollout.Step{Weight: weight, Pause: time.Duration(w.rng.IntN(3)) * 3 * time.Second, Manual: w.chance(250)}
		if p.Split == rollout.ByWeight && w.chance(200) {
			s.Match = &rollout.Match{Header: map[string]string{"x-beta": "1"}}
		}
		if p.Split == rollout.ByWeight && w.chance(200) {
			s.Mirror = 1 + w.rng.IntN(100)
			s.MirrorWrites = s.Mirror%3 == 0
		}
		if p.Split == rollout.ByWeight && w.seed%7 == 0 {
			s = rollout.Step{Match: &rollout.Match{Users: max(1, weight)}, Pause: s.Pause, Manual: s.Manual}
		}
		p.Steps = append(p.Steps, s)
	}
	if w.chance(600) {
		p.Gates = w.drawGates(p.Strategy)
	}
	return p
}

func (w *world) drawFaults() faults {
	maybe := func(n int) int {
		if w.chance(500) {
			return 0
		}
		return w.rng.IntN(n)
	}
	return faults{
		crash: maybe(100), lostWrite: maybe(300), conflict: maybe(150), late: maybe(300), peek: maybe(300),
		template: 20 + maybe(60), scale: maybe(80), order: 20 + maybe(100), plan: maybe(10), tamper: maybe(15), stuck: maybe(40), die: maybe(40),
		clock: maybe(6),
	}
}

// play lets faults happen for a while, then ends them and expects rest.
func (w *world) play() {
	for range 40 + w.rng.IntN(80) {
		w.tick()
		w.mischief()
		w.control.turn(w)
		if w.failure == nil && w.restsMidway() {
			w.count("rest in " + string(w.control.saved.Phase))
			w.checkRest()
		}
		if w.failure != nil {
			return
		}
	}
	w.beQuiet()
	const enough = 400
	for range enough {
		w.tick()
		w.helpAlong()
		w.control.turn(w)
		if w.failure != nil {
			return
		}
		if w.resting() {
			w.checkRest()
			return
		}
	}
	w.fail("I8 rest is reachable", "no rest after %d quiet looks: %s %s: %s", enough, w.control.saved.Phase, w.control.saved.Reason, w.control.saved.Message)
}

// tick lets time pass: instances come up and fall over, the data plane catches up.
func (w *world) tick() {
	w.elapsed += time.Duration(200+w.rng.IntN(2800)) * time.Millisecond
	for _, v := range w.versions {
		v.tick(w)
	}
	w.plane.tick(w)
	if w.wanted != w.asked && w.chance(w.gitops) {
		w.wanted, w.taken = w.asked, true
		w.stir()
		w.say("gitops", "writes %s again", w.wanted)
	}
	w.checkServed("time passed")
}

// makeRoom sees that there is the room that the plan has said it takes, and no more. What was given once is not taken away.
func (w *world) makeRoom() {
	if w.most > 0 {
		w.most = max(w.most, w.plan.Most(w.replicas))
	}
}

// full tells whether there is no room for another instance. What stops still takes some.
func (w *world) full() bool {
	n := 0
	for _, v := range w.versions {
		n += len(v.instances)
	}
	return w.most > 0 && n >= w.most
}

// now is what the controller's clock says.
func (w *world) now() time.Time {
	return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).Add(w.elapsed + w.skew)
}

// chance is true n times of a thousand.
func (w *world) chance(n int) bool { return w.rng.IntN(1000) < n }

func (w *world) version(name rollout.Version) *version {
	i := slices.IndexFunc(w.versions, func(v *version) bool { return v.name == name })
	if i < 0 {
		return nil
	}
	return w.versions[i]
}

func (w *world) newVersion(b behaviour) *version {
	w.names++
	v := &version{name: rollout.Version(fmt.Sprintf("v%d", w.names)), behaviour: b}
	w.versions = append(w.versions, v)
	return v
}

func (w *world) say(who, format string, args ...any) {
	if w.tracing {
		w.lines = append(w.lines, fmt.Sprintf("%8s  %-7s %s", w.elapsed.Round(time.Millisecond), who, fmt.Sprintf(format, args...)))
	}
}

// count notes that something happened.
func (w *world) count(what string) {
	if w.counts != nil {
		w.counts[what]++
	}
}

func (w *world) fail(rule, format string, args ...any) {
	if w.failure != nil {
		return
	}
	w.failure = &Failure{Seed: w.seed, Rule: rule, What: fmt.Sprintf(format, args...)}
	w.say("BROKEN", "%s: %s", rule, w.failure.What)
}
