package rollout

// shifting moves traffic to the candidate: step by step in a canary, in lockstep with the instances in a rolling update.
func shifting(l *look) {
	l.grown()
	if l.lost() {
		return
	}
	if l.plan.Strategy == Rolling {
		l.shiftInLockstep()
		return
	}
	if l.plan.Strategy != Canary || l.s.Full || l.s.Step >= len(l.plan.Steps) {
		if !l.halted() {
			l.move(Promoting)
			return
		}
		l.hold()
		return
	}
	step, _ := l.step()
	l.shiftToStep(step)
}

// shiftToStep makes a step stand, keeps it standing, and goes on when it is over.
func (l *look) shiftToStep(step Step) {
	stable, candidate := l.targets()
	l.scale(l.s.Stable, stable)
	l.scale(l.s.Candidate, candidate)

	needed := candidate
	if step.Weight == 100 {
		needed = l.seen.Replicas
	}
	enough := l.candidate().Serving >= needed && l.seen.Replicas > 0
	if enough && step.Weight < 100 && l.stable().Serving == 0 {
		l.stall(func() {
			l.say(ReasonStableGrowing, "%s keeps %d %% and serves nothing now%s; promote --full does without it",
				l.s.Stable, 100-step.Weight, why(l.stable()))
		})
		return
	}
	if enough && step.Weight == 0 && l.s.Route.Open && l.stable().Serving < stable { // the plan was changed: what shared is to serve alone
		l.stall(func() {
			l.say(ReasonStableGrowing, "%s is to have all traffic: %d of %d serve%s", l.s.Stable, l.stable().Serving, stable, why(l.stable()))
		})
		return
	}
	if !enough || l.s.Paused != nil && l.s.StandsAt.IsZero() {
		l.stall(func() { l.sayGrowing(needed) })
		return
	}
	if !l.tellOn(l.stepRoute(step)) || !l.stands(l.sharesStand(stable, candidate)) {
		if !l.halted() {
			l.overdue()
		}
		return
	}
	over := l.reached(l.s.StandsAt.Add(step.Pause))
	stop := step.Manual && l.s.Promoted == nil
	answer := l.askStep(over && !stop && l.s.Paused == nil)
	switch {
	case answer == failed || l.halted():
	case stop:
		l.say(ReasonAwaitingPromote, "%s stands at %s and waits for somebody to promote it", l.stepName(), step.gives())
	case !over:
		l.say(ReasonStepStanding, "%s stands at %s for %s", l.stepName(), step.gives(), step.Pause)
	case answer == open:
		l.nextStep()
	}
}

// stall keeps the route of a step that does not stand, and says why, unless somebody paused the rollout or its deadline has passed.
func (l *look) stall(say func()) {
	l.stands(false)
	if !l.halted() {
		if l.overdue() {
			return
		}
		say()
	}
	l.keepRoute()
}

// askStep asks the gates of the step, and after the last step those of the promotion as well.
func (l *look) askStep(alone bool) gates {
	if l.s.Asked == nil || l.s.Asked.Moment == DuringStep {
		if answer := l.ask(DuringStep, alone); answer != open || !alone {
			return answer
		}
	}
	if l.s.Step+1 < len(l.plan.Steps) {
		return open
	}
	return l.ask(BeforePromotion, alone)
}

func (l *look) nextStep() {
	l.s.Step++
	l.freshStep()
	l.arrive()
}

// arrive forgets the last promote where the step that begins waits for one of its own.
func (l *look) arrive() {
	if l.atManualStop() {
		l.s.Promoted = nil
	}
}

// stepRoute is what a step asks of the data plane.
func (l *look) stepRoute(step Step) Route {
	r := l.share(step.Weight)
	if step.Match != nil || step.Mirror > 0 {
		r.To, r.Match, r.Mirror, r.MirrorWrites = l.s.Candidate, step.Match, step.Mirror, step.MirrorWrites
	}
	return r
}

// sharesStand tells whether the instances give the share that the step is for. With weights that follows from the route alone.
func (l *look) sharesStand(stable, candidate int) bool {
	if l.plan.Split == ByWeight {
		return true
	}
	if l.stable().Running > stable || l.candidate().Running > candidate || l.candidate().Serving < candidate {
		l.say(ReasonStableShrinking, "%s: %d of %d run, %s: %d of %d",
			l.s.Stable, l.stable().Running, stable, l.s.Candidate, l.candidate().Serving, candidate)
		return false
	}
	return true
}

// keepRoute keeps what was told, less what the candidate cannot carry any more. It tells whether that has converged.
func (l *look) keepRoute() bool {
	told := l.s.Route
	if told.Open || !told.Reaches(l.s.Candidate) {
		return l.tell(told)
	}
	kept := l.share(min(l.s.Weight(), l.limit()))
	if l.candidate().Serving > 0 || l.stable().Serving == 0 {
		kept.To, kept.Match, kept.Mirror, kept.MirrorWrites = told.To, told.Match, told.Mirror, told.MirrorWrites
	}
	return l.tell(kept)
}

// hold keeps instances and traffic as they are, save for what scaling or a loss asks for.
func (l *look) hold() {
	stable, candidate := l.targets()
	l.scale(l.s.Stable, stable)
	l.scale(l.s.Candidate, candidate)
	l.keepRoute()
	l.halted()
}

// shiftInLockstep lets the weight follow the candidate's serving instances, and stable's instances follow its weight:
// grow, converge on the new weight, shrink, and again.
func (l *look) shiftInLockstep() {
	c := l.candidate()
	if l.s.Paused != nil {
		l.askRolling(false)
		l.hold()
		return
	}
	whole := c.Serving >= l.whole() && c.Asked >= l.whole()
	answer := l.askRolling(whole)
	switch {
	case answer == failed:
	case whole && answer == open:
		l.move(Promoting)
	case l.stands(whole):
		reason, message := l.s.Reason, l.s.Message
		if l.followInstances() {
			l.s.Reason, l.s.Message = reason, message
		}
	case !l.overdue():
		l.followInstances()
	}
}

// askRolling asks the gates of a rolling update: those of its one long step all the time, and when it is whole those of the promotion.
func (l *look) askRolling(whole bool) gates {
	if l.s.Asked == nil || l.s.Asked.Moment == DuringStep {
		if answer := l.ask(DuringStep, whole); answer != open || !whole {
			return answer
		}
	}
	return l.ask(BeforePromotion, whole)
}

// followInstances lets the weight follow the candidate's instances, and stable's instances the weight. It tells whether the route has
// arrived.
func (l *look) followInstances() bool {
	r, c := l.seen.Replicas, l.candidate()
	stable, candidate := l.targets()
	if l.plan.Split == ByShare {
		open := l.s.Route
		if !open.Open {
			open = l.rest(l.s.Stable) // the plan changed
		}
		l.scale(l.s.Stable, stable)
		l.scale(l.s.Candidate, candidate)
		if !l.tell(open) {
			return false
		}
		l.sayGrowing(r)
		return true
	}
	goal := min(99, carry(c.Serving, r))
	if goal < l.s.Weight() {
		goal = min(l.s.Weight(), l.limit())
	}
	if l.converged() && goal != l.s.Weight() || !l.converged() && goal < l.s.Weight() {
		// The weight moves alone: what shrinks does so only after it has arrived.
		l.scaleUp(l.s.Stable, stable)
		l.scaleUp(l.s.Candidate, candidate)
		l.tell(l.share(goal))
		return false
	}
	if !l.tell(l.s.Route) {
		l.scaleUp(l.s.Stable, stable)
		return false
	}
	l.scale(l.s.Stable, stable)
	l.scale(l.s.Candidate, candidate)
	l.sayGrowing(r)
	return true
}

func (l *look) scaleUp(v Version, n int) { l.scale(v, max(n, l.seen.Versions[v].Asked)) }
