package rollout

import "time"

// patience is how long an abort tries to write stable's template back before it rests in Held instead: somebody else
// writes the refused one again each time, or nobody may write at all.
const patience = 30 * time.Second

// aborting brings back stable's capacity, then its traffic, then its template, and takes the candidate away.
func aborting(l *look) {
	if l.s.Stable != "" && !l.backToStable() {
		return
	}
	w := l.seen.Wanted
	if w == l.s.Candidate && w != l.s.Rejected {
		l.begin(w) // asked for once more while it was on its way out
		return
	}
	if l.s.Stable == "" {
		l.scale(l.s.Candidate, 0) // it never had traffic
	}
	if !l.seen.Now.After(l.s.PhaseAt) {
		// What the look that the abort began with does not show may have been started just after it.
		l.say(ReasonStopping, "%s goes", l.s.Candidate)
		l.lookAt(l.seen.Now)
		return
	}
	if !l.retire(l.s.Candidate) {
		return
	}
	if _, left := l.seen.Versions[l.s.Candidate]; left && !l.untouched() {
		if l.s.Stable != "" && !l.drained(l.s.Candidate) {
			l.say(ReasonDraining, "%s gets no new traffic; what is left of it is removed then", l.s.Candidate)
			return
		}
		l.act(Action{Kind: Remove, Version: l.s.Candidate})
		l.say(ReasonRemoving, "what is left of %s is removed", l.s.Candidate)
		return
	}
	if w == l.s.Candidate && !l.templateGivenUp() {
		return
	}
	l.s.Step = 0
	switch w {
	case l.s.Rejected:
		l.s.Candidate = ""
		l.move(Held)
	case l.s.Stable, "":
		l.s.Candidate = ""
		l.move(Idle)
	default:
		l.begin(w)
	}
}

// untouched tells that what stands of the candidate was there before the passage, which started nothing.
func (l *look) untouched() bool { return l.s.Aborted != nil && l.s.Aborted.Untouched }

// backToStable brings back capacity, then traffic, and tells whether both have arrived. Where traffic can be weighed, it
// comes back as fast as the instances do. What a dead candidate has is taken at once, if
// anything of stable serves.
func (l *look) backToStable() bool {
	s, c, r := l.stable(), l.candidate(), l.seen.Replicas
	s.Serving = min(s.Serving, s.Asked) // what was told to go may look well for a moment
	recreate := l.plan.Strategy == Recreate
	if recreate && !gone(c) && s.Serving < r {
		// Two versions do not stand side by side in a recreate, also on the way back. What is lost meanwhile was announced.
		l.scale(l.s.Candidate, 0)
		l.say(ReasonStopping, "%s stops; then %s starts again", l.s.Candidate, l.s.Stable)
		return false
	}
	l.scale(l.s.Stable, r)
	if s.Serving >= l.whole() || c.Serving+c.Unlisted == 0 && s.Serving > 0 || !l.s.Route.Open && !l.s.Route.Reaches(l.s.Candidate) {
		return l.tell(pin(l.s.Stable))
	}
	back := l.s.Route
	switch {
	case recreate || s.Serving == 0:
	case l.plan.Split == ByWeight:
		back = l.share(min(l.s.Weight(), 100-carry(s.Serving, r)))
	case l.plan.Strategy == Rolling || l.plan.Strategy == Canary:
		back = l.rest(l.s.Stable) // they shared on the way here
	}
	if arrived := l.tell(back); back.Open || arrived && l.plan.Strategy == Rolling {
		l.yield(s)
	}
	l.say(ReasonStableGrowing, "%s gets its traffic back as it comes up: %d of %d serve%s", l.s.Stable, s.Serving, r, why(s))
	return false
}

// yield lets go of the candidate's instances beyond the surge and beyond those that together with stable's serve what is asked for: there may
// be no room for stable's before they have gone. An open route follows what serves; a weight has arrived before instances go.
func (l *look) yield(stable Standing) {
	surge, unavailable := l.room()
	if l.plan.Strategy != Rolling {
		unavailable = 0
	}
	r := l.seen.Replicas
	n := r - unavailable - stable.Serving
	if !l.s.Route.Open {
		n = max(n, fewest(l.s.Weight(), r)-unavailable)
	}
	l.scale(l.s.Candidate, min(l.candidate().Asked, max(1, surge, n))) // the last one goes without traffic
}

// templateGivenUp writes stable's template back and tells whether that has been tried for long enough.
func (l *look) templateGivenUp() bool {
	if l.s.StandsAt.IsZero() {
		l.s.StandsAt = l.seen.Now
	}
	if l.reached(l.s.StandsAt.Add(patience)) {
		return true
	}
	l.act(Action{Kind: WriteBack, Version: l.s.Stable, Over: l.s.Candidate})
	l.say(ReasonWritingTemplate, "the template is to ask for %s again", l.s.Stable)
	return false
}
