package rollouttest

import (
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// A behaviour is how the instances of a version live.
type behaviour string

const (
	good   behaviour = "good"
	slow   behaviour = "slow"   // ready after a long while
	never  behaviour = "never"  // never ready
	dies   behaviour = "dies"   // serves for a while, then all its instances die for good
	flaps  behaviour = "flaps"  // goes in and out of readiness
	revive behaviour = "revive" // dies, and is well again later
)

var behaviours = []behaviour{good, good, good, good, slow, never, dies, flaps, revive}

// A version is one template and what runs of it.
type version struct {
	name      rollout.Version
	behaviour behaviour
	asked     int
	exists    bool // the platform knows of it
	instances []*instance
	inFlight  int
	firstUp   time.Duration // since when any instance of it served; 0: never
	// excused is set when a fault, or nobody wanting any, took the last serving instance, until one serves again.
	excused  bool
	unwanted bool // it may go to 0 with traffic: nobody wants any, or its downtime was announced
}

type instance struct {
	ready    bool
	stopping bool
	dueAt    time.Duration // when it gets ready, or, stopping, when it is gone
}

func (v *version) serving() int {
	return v.count(func(i *instance) bool { return i.ready && !i.stopping })
}
func (v *version) running() int  { return v.count(func(i *instance) bool { return !i.stopping }) }
func (v *version) stopping() int { return v.count(func(i *instance) bool { return i.stopping }) }

func (v *version) count(is func(*instance) bool) (n int) {
	for _, i := range v.instances {
		if is(i) {
			n++
		}
	}
	return n
}

// scale is the platform's part: what does not serve goes first, and what serves leaves the rotation before it stops.
func (v *version) scale(w *world, n int) {
	v.exists, v.asked = true, n
	v.start(w)
	if w.lag == nil {
		v.stop(w) // else it looks well for a while
	}
}

// stop ends what is more than is asked for.
func (v *version) stop(w *world) {
	for v.running() > v.asked {
		victim := (*instance)(nil)
		for _, i := range v.instances {
			if !i.stopping && (victim == nil || victim.ready) {
				victim = i
			}
		}
		victim.stopping, victim.ready = true, false
		victim.dueAt = w.elapsed + time.Duration(w.rng.IntN(6))*time.Second
	}
}

// start begins what is asked for and does not run yet, as far as there is room.
func (v *version) start(w *world) {
	for v.running() < v.asked && !w.full() {
		v.instances = append(v.instances, &instance{dueAt: w.elapsed + v.startup(w)})
	}
}

func (v *version) startup(w *world) time.Duration {
	switch v.behaviour {
	case slow:
		return time.Duration(10+w.rng.IntN(15)) * time.Second
	case never:
		return time.Hour * 1e4
	}
	return time.Duration(w.rng.IntN(5)) * time.Second
}

func (v *version) tick(w *world) {
	if w.lag == nil || w.quiet || w.lag.IntN(2) == 0 {
		v.stop(w)
	}
	if v.serving() == 0 && v.unwanted {
		v.excused = true
	}
	before := v.serving()
	kept := v.instances[:0]
	for _, i := range v.instances {
		if i.stopping && w.elapsed >= i.dueAt {
			continue
		}
		kept = append(kept, i)
		if !i.stopping && !i.ready && w.elapsed >= i.dueAt {
			i.ready = true
		}
		if i.ready && v.falls(w) {
			v.fall(w, i)
		}
	}
	v.instances = kept
	v.start(w)
	if before == 0 && v.serving() > 0 && v.firstUp == 0 {
		v.firstUp = w.elapsed
	}
	if v.serving() > 0 {
		v.excused = false
	} else if before > 0 || w.replicas == 0 {
		v.excused = true
	}
	v.breathe(w)
}

// falls tells whether a serving instance falls over now.
func (v *version) falls(w *world) bool {
	switch {
	case v.behaviour == flaps:
		return w.chance(200)
	case v.behaviour == dies || v.behaviour == revive:
		return v.firstUp > 0 && w.elapsed > v.firstUp+10*time.Second && w.elapsed < v.firstUp+40*time.Second
	}
	return !w.quiet && w.chance(w.faults.die)
}

func (v *version) fall(w *world, i *instance) {
	w.say("fault", "an instance of %s falls over", v.name)
	i.ready = false
	i.dueAt = w.elapsed + v.startup(w)
	if v.behaviour == dies {
		i.dueAt = time.Hour * 1e4
	}
	if v.serving() == 0 {
		v.excused = true
	}
}

// breathe lets requests come and go.
func (v *version) breathe(w *world) {
	switch {
	case v.serving() > 0 && w.plane.mayReach(v.name):
		v.inFlight = w.rng.IntN(4)
	case v.inFlight > 0 && w.chance(700):
		v.inFlight--
	}
	if v.running()+v.stopping() == 0 {
		v.inFlight = 0
	}
}

func (v *version) standing(w *world) rollout.Standing {
	s := rollout.Standing{Asked: v.asked, Running: v.running(), Serving: v.serving(), Stopping: v.stopping(), InFlight: v.inFlight}
	if w.blind {
		s.InFlight = -1
	}
	if w.lag != nil && !w.quiet && s.Serving > 0 && w.lag.IntN(4) == 0 {
		s.Unlisted = 1 + w.lag.IntN(s.Serving)
		s.Serving -= s.Unlisted
	}
	if s.Serving < s.Running {
		s.Failure = "not ready"
	}
	return s
}
