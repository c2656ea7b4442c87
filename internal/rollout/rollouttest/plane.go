package rollouttest

import (
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// A plane is the data plane. A route that is written waits in api until the plane takes it over; and for a while after
// that, less than the drain, somebody somewhere still sends by the route before.
type plane struct {
	api, live       rollout.Route
	apiSeq, liveSeq int
	takesAt         time.Duration
	stuckUntil      time.Duration
	trailing        []trail
	tamperSeq       int // the last write that was not the engine's; 0: none
}

type trail struct {
	route rollout.Route
	until time.Duration
}

// write accepts a route.
func (p *plane) write(w *world, r rollout.Route) {
	p.apiSeq++
	p.api = r
	p.takesAt = w.elapsed
	if w.chance(500) {
		p.takesAt += time.Duration(w.rng.IntN(5)) * time.Second
	}
	p.tick(w)
}

func (p *plane) tick(w *world) {
	kept := p.trailing[:0]
	for _, t := range p.trailing {
		if w.elapsed < t.until {
			kept = append(kept, t)
		}
	}
	p.trailing = kept
	if p.liveSeq == p.apiSeq || w.elapsed < p.takesAt || w.elapsed < p.stuckUntil {
		return
	}
	if drain := int(w.plan.Drain / time.Millisecond); drain > 0 {
		p.trailing = append(p.trailing, trail{p.live, w.elapsed + time.Duration(w.rng.IntN(drain))*time.Millisecond})
	}
	p.live, p.liveSeq = p.api, p.apiSeq
	w.say("plane", "has %s", p.live)
}

// mayReach tells whether anybody may send to a version now.
func (p *plane) mayReach(v rollout.Version) bool {
	if p.live.Reaches(v) {
		return true
	}
	for _, t := range p.trailing {
		if t.route.Reaches(v) {
			return true
		}
	}
	return false
}

func (p *plane) settled() bool { return p.liveSeq == p.apiSeq && len(p.trailing) == 0 }

// tamperedWith tells whether somebody else's route is still to be reckoned with.
func (p *plane) tamperedWith() bool {
	return p.tamperSeq > 0 && (p.liveSeq <= p.tamperSeq || len(p.trailing) > 0)
}

// routes are all that are in use, for people.
func (p *plane) routes() string {
	s := "live is " + p.live.String()
	if p.liveSeq != p.apiSeq {
		s += "; coming is " + p.api.String()
	}
	for _, t := range p.trailing {
		s += "; still in use is " + t.route.String()
	}
	return s
}
