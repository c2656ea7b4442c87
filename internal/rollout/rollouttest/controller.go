package rollouttest

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// A controller is the loop around the engine: look, decide, save, apply. What it remembers is what was saved.
type controller struct {
	saved     rollout.State
	stored    rollout.State // what of it a crash does not take
	lazy      *rand.Rand    // if not nil, changes that cost only time are stored some time
	downUntil time.Duration
	old       []rollout.Snapshot // looks that may yet be delivered, late
	peeked    *rollout.Snapshot  // a look from before the last actions, delivered after them
	early     bool               // the look of this turn is such a one
}

// turn is one round of the loop, with whatever befalls it.
func (c *controller) turn(w *world) {
	if w.elapsed < c.downUntil {
		return
	}
	seen := c.look(w)
	prev := c.saved
	d := w.decide(w.plan, prev, seen)
	if w.tracing {
		w.say("decide", "%s %s: %s", d.State.Phase, d.Reason, d.Message)
	}
	w.checkDecision(prev, seen, d)
	if w.failure != nil {
		return
	}
	if w.mishap(w.faults.crash) {
		c.crash(w, "before it saved")
		return
	}
	if w.engine.SavesAfter {
		if c.apply(w, seen, d) {
			c.save(w, d)
		}
		return
	}
	if w.mishap(w.faults.conflict) {
		w.say("fault", "the state was not saved: conflict")
		w.stir()
		return
	}
	c.save(w, d)
	c.apply(w, seen, d)
}

func (c *controller) save(w *world, d rollout.Decision) {
	prev := c.saved
	c.saved = d.State
	if c.lazy == nil || !reflect.DeepEqual(c.saved.Essence(), c.stored.Essence()) || c.lazy.IntN(10) == 0 {
		c.stored = c.saved
	}
	w.checkAnswers(d)
	w.watch.follow(w, d, prev)
	w.orders = slices.DeleteFunc(w.orders, func(o rollout.Order) bool { return o.ID <= c.saved.Done && w.chance(700) })
}

// apply carries the actions out in their order. It tells whether it lived to the end.
func (c *controller) apply(w *world, seen rollout.Snapshot, d rollout.Decision) bool {
	if w.mishap(w.faults.peek) {
		s := w.look()
		c.peeked = &s
	}
	for _, a := range d.Actions {
		if w.mishap(w.faults.crash) {
			c.crash(w, "before "+string(a.Kind))
			return false
		}
		if w.mishap(w.faults.lostWrite) {
			w.say("fault", "%s was lost", describe(a))
			continue
		}
		if w.mishap(w.faults.conflict) {
			w.say("fault", "%s met a conflict; the rest is left for the next look", describe(a))
			return true
		}
		w.do(seen, d, a)
		if w.failure != nil {
			return false
		}
	}
	return true
}

// crash loses what was not saved. What was saved comes back from where it is stored.
func (c *controller) crash(w *world, when string) {
	w.say("fault", "the controller crashes %s", when)
	w.stir()
	raw, err := json.Marshal(c.stored)
	if err != nil {
		w.fail("I5 a crash costs only time", "state: %v", err)
		return
	}
	c.saved = rollout.State{}
	if err := json.Unmarshal(raw, &c.saved); err != nil {
		w.fail("I5 a crash costs only time", "state: %v", err)
	}
	c.peeked = nil
	c.downUntil = w.elapsed + time.Duration(w.rng.IntN(8))*time.Second
}

// look delivers a fresh look, or a late one.
func (c *controller) look(w *world) rollout.Snapshot {
	c.early = false
	if p := c.peeked; p != nil {
		c.peeked, c.early = nil, true
		return *p
	}
	fresh := w.look()
	c.old = append(c.old, fresh)
	if len(c.old) > 8 {
		c.old = c.old[1:]
	}
	if w.mishap(w.faults.late) {
		old := c.old[w.rng.IntN(len(c.old))]
		w.say("fault", "a look from %s ago arrives", fresh.Now.Sub(old.Now))
		return old
	}
	return fresh
}

// look sees the world as it is.
func (w *world) look() rollout.Snapshot {
	w.elapsed += time.Millisecond
	s := rollout.Snapshot{
		Now: w.now(), Wanted: w.wanted, Replicas: w.replicas, Versions: make(map[rollout.Version]rollout.Standing, len(w.versions)),
		Route: w.plane.live, Taken: w.taken, Orders: slices.Clone(w.orders), Gates: w.verdicts(),
	}
	if w.plane.liveSeq == w.plane.apiSeq {
		s.Grade = w.grade
	}
	for _, v := range w.versions {
		if v.exists {
			s.Versions[v.name] = v.standing(w)
		}
	}
	return s
}

// mishap is a fault of the loop's own; there is none once the world is quiet.
func (w *world) mishap(n int) bool { return !w.quiet && w.chance(n) }

// do is the platform carrying out one action, each checked against the truth before it happens.
func (w *world) do(seen rollout.Snapshot, d rollout.Decision, a rollout.Action) {
	w.say("apply", "%s", describe(a))
	w.count("action " + string(a.Kind))
	w.checkAction(seen, d, a)
	if w.failure != nil {
		return
	}
	before := w.serving()
	switch a.Kind {
	case rollout.Scale:
		v := w.version(a.Version)
		v.unwanted = w.plan.Strategy == rollout.Recreate || seen.Replicas == 0
		v.scale(w, a.Replicas)
		v.excused = v.excused || v.serving() == 0 && v.unwanted
		w.taken = w.taken || a.Version != w.control.saved.Stable
	case rollout.SetRoute:
		for _, v := range w.versions {
			// A look from before the engine's own last writes shows what has gone since: nobody could know.
			early := w.control.early && seen.Versions[v.name].Serving > 0
			v.excused = v.excused || v.serving() == 0 && (seen.Replicas == 0 || early)
		}
		if !w.plane.api.Equal(*a.Route) {
			w.plane.write(w, *a.Route)
		}
		w.taken = w.taken || rollout.Active(d.State.Phase)
	case rollout.WriteBack:
		if w.wanted == a.Over {
			w.wanted = a.Version
			w.taken = true
		}
	case rollout.Remove:
		v := w.version(a.Version)
		v.exists, v.asked, v.instances = false, 0, nil
	case rollout.Release:
		if w.wanted == a.Version {
			w.taken = false
		}
	}
	w.checkServed(describe(a))
	w.checkOpen(before, seen, describe(a))
}
