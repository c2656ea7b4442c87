package rollout

import (
	"maps"
	"time"
)

// pin gives a version all traffic.
func pin(v Version) Route { return Route{Weights: Weights{v: 100}} }

// rest is the route of an app at rest: what its user wrote.
func (l *look) rest(v Version) Route {
	r := pin(v)
	r.Open = l.plan.Split == ByShare
	return r
}

// share gives the candidate a weight and stable the rest. By share of instances nothing is written but an open route.
func (l *look) share(weight int) Route {
	switch weight {
	case 0:
		return pin(l.s.Stable)
	case 100:
		return pin(l.s.Candidate)
	}
	return Route{
		Weights: Weights{l.s.Stable: 100 - weight, l.s.Candidate: weight},
		Open:    l.plan.Split == ByShare,
	}
}

// Equal tells whether a data plane would do the same with both routes.
func (r Route) Equal(o Route) bool {
	if r.Open && o.Open {
		return true
	}
	return r.Open == o.Open && r.To == o.To && r.Mirror == o.Mirror && r.MirrorWrites == o.MirrorWrites &&
		r.Match.Equal(o.Match) && r.Weights.within(o.Weights) && o.Weights.within(r.Weights)
}

// Reaches tells whether a version may be sent anything under the route: by weight, match or mirror, or because nothing is pinned.
func (r Route) Reaches(v Version) bool {
	return r.Open || r.Weights[v] > 0 || r.To == v && (r.Match != nil || r.Mirror > 0)
}

// within tells whether o has each weight of w. A weight of 0 is as good as none.
func (w Weights) within(o Weights) bool {
	for v, n := range w {
		if o[v] != n {
			return false
		}
	}
	return true
}

// Equal tells whether two matches describe the same requests. A nil Match describes none.
func (m *Match) Equal(o *Match) bool {
	if m == nil || o == nil {
		return m == o
	}
	return m.Users == o.Users && maps.Equal(m.Header, o.Header) && maps.Equal(m.Cookie, o.Cookie)
}

// followRoute notes when the route that was told arrives, and when it is lost again. The look that the route was told
// after proves nothing: what it shows is older than the route.
func (l *look) followRoute() {
	arrived := l.seen.Grade != NotYet && l.seen.Now.After(l.s.ToldAt) && l.seen.Route.Equal(l.s.Route)
	switch {
	case !arrived:
		l.s.ConvergedAt = time.Time{}
	case l.s.ConvergedAt.IsZero():
		l.s.ConvergedAt = l.seen.Now
	}
}

func (l *look) converged() bool { return !l.s.ConvergedAt.IsZero() }

// tell has the data plane configured for a route and tells whether it is. Until it is, the route is written at each look:
// the write may have been lost, or undone by somebody.
func (l *look) tell(r Route) bool {
	if !l.s.Route.Equal(r) {
		l.s.ToldAt, l.s.ConvergedAt = l.seen.Now, time.Time{}
	}
	l.s.Route = r
	if l.converged() {
		return true
	}
	l.act(Action{Kind: SetRoute, Route: &r})
	l.say(ReasonRouteConverging, "the data plane is to have: %s%s", r, l.waits())
	return false
}

// waits adds what keeps the route from arriving to a sentence. What was seen before the route was told is about another one.
func (l *look) waits() string {
	if l.seen.Waits == "" || !l.seen.Now.After(l.s.ToldAt) {
		return ""
	}
	return "; " + l.seen.Waits
}

// tellOn is tell on the way forward: the candidate gets more only when what it has was seen to have arrived. What was never told, as of
// a first version, cannot arrive.
func (l *look) tellOn(r Route) bool {
	if told := !l.s.Route.Equal(Route{}); told && !l.converged() && r.Weights[l.s.Candidate] > l.s.Weight() {
		l.tell(l.s.Route)
		return false
	}
	return l.tell(r)
}

// drained tells whether a version gets nothing any more, for long enough, and has answered what it had. A version whose
// requests do not end is waited for until maxDrains times the drain have passed.
func (l *look) drained(v Version) bool {
	if len(l.s.Route.Weights)+len(l.seen.Route.Weights) == 0 {
		return true // no data plane was ever told of the app
	}
	if !l.converged() || l.s.Route.Reaches(v) || l.seen.Route.Reaches(v) {
		return false
	}
	if !l.reached(l.s.ConvergedAt.Add(l.plan.Drain)) {
		return false
	}
	return l.seen.Versions[v].InFlight <= 0 || l.reached(l.s.ConvergedAt.Add(maxDrains*l.plan.Drain))
}

// maxDrains bounds the wait for the last answers, in drains. After that the platform's own stop budget has to do.
const maxDrains = 10
