package rollout

// finishing lets the old version stand for the hold-back, drains it, scales it down, and gives the app back.
func finishing(l *look) {
	if l.lostWhileOldServes() {
		return
	}
	old := l.s.Stable
	l.scale(l.s.Candidate, l.finalSize())
	if !l.settled() {
		return
	}
	if old != "" && !gone(l.stable()) {
		if !l.tell(pin(l.s.Candidate)) {
			return
		}
		if l.holdsBack() || !l.retire(old) {
			return
		}
	}
	l.finish() // at rest the route becomes the user's again
}

// settled tells whether the gates agree that the candidate may keep all traffic. Until then what is left of the old version stands by. A newer
// version that comes meanwhile is not kept waiting.
func (l *look) settled() bool {
	if !l.asks(AfterPromotion) {
		return true
	}
	if !l.tell(pin(l.s.Candidate)) {
		return false
	}
	answer := l.ask(AfterPromotion, l.s.Paused == nil)
	if answer != closed {
		return answer == open
	}
	if newer := l.seen.Wanted != "" && l.seen.Wanted != l.s.Candidate; newer {
		l.past(AfterPromotion)
		return true
	}
	if l.stable().Asked > 0 && l.keepsStable() {
		l.scale(l.s.Stable, l.seen.Replicas)
	}
	l.halted()
	return false
}

// keepsStable tells whether the strategy leaves stable whole until the candidate is promoted.
func (l *look) keepsStable() bool {
	return l.plan.Strategy == BlueGreen || l.plan.Strategy == Canary && l.plan.Split == ByWeight
}

// lostWhileOldServes aborts when the candidate has died and the old version is still there to take over.
func (l *look) lostWhileOldServes() bool {
	return l.stable().Serving > 0 && l.lost()
}

// holdsBack keeps the old version complete and without traffic, so that an undo is instant. A newer version ends it: three
// versions would stand.
func (l *look) holdsBack() bool {
	if l.stable().Asked == 0 {
		return false
	}
	if l.s.Paused != nil {
		l.scale(l.s.Stable, max(l.stable().Asked, l.seen.Replicas))
		return l.halted()
	}
	newer := l.seen.Wanted != "" && l.seen.Wanted != l.s.Candidate
	if l.plan.Strategy != BlueGreen || l.plan.HoldBack == 0 || newer || l.s.Full || l.reached(l.s.PhaseAt.Add(l.plan.HoldBack)) {
		return false
	}
	l.scale(l.s.Stable, l.seen.Replicas)
	l.say(ReasonHoldingBack, "%s serves; %s stands by for %s and an undo is instant", l.s.Candidate, l.s.Stable, l.plan.HoldBack)
	return true
}

// finalSize is what the candidate is to have beside what is left of the old version.
func (l *look) finalSize() int {
	r, c := l.seen.Replicas, l.candidate()
	if surge, _ := l.room(); l.plan.Strategy == Rolling {
		return min(r, max(c.Asked, r+surge-l.stable().Running))
	}
	return r
}
