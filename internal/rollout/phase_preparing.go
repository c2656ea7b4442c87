package rollout

import "fmt"

// preparing grows the candidate until it can carry its first share. It gets no traffic.
func preparing(l *look) {
	l.grown()
	if l.asks(BeforeStart) {
		if answer := l.ask(BeforeStart, l.s.Paused == nil); answer != open {
			l.awaitStart(answer)
			return
		}
		l.freshStep()
	}
	if l.s.Called != nil && l.seen.Wanted == l.s.Stable {
		l.scale(l.s.Stable, l.seen.Replicas)
		if l.overdue() || !l.tell(l.s.Route) {
			return
		}
		l.act(Action{Kind: WriteBack, Version: l.s.Candidate, Over: l.s.Stable})
		l.say(ReasonWritingTemplate, "the template is to ask for %s, by order of %s", l.s.Candidate, l.s.Called.By)
		return
	}
	switch {
	case l.s.Stable == "":
		l.prepareFirst()
	case l.plan.Strategy == Recreate:
		l.prepareRecreate()
	default:
		l.prepareBeside()
	}
}

// awaitStart keeps everything as it is until the gates let the candidate start.
func (l *look) awaitStart(answer gates) {
	if answer == failed {
		return
	}
	l.stands(true)
	l.halted()
	reason, message := l.s.Reason, l.s.Message
	l.scale(l.s.Stable, l.seen.Replicas)
	if l.tell(l.s.Route) {
		l.s.Reason, l.s.Message = reason, message
	}
}

// prepareFirst brings up the first version. It is let in as soon as anything of it serves: nothing else does.
func (l *look) prepareFirst() {
	c, v := l.candidate(), l.s.Candidate
	if c.Serving > 0 || l.seen.Replicas == 0 {
		l.move(Promoting)
		return
	}
	l.scale(v, l.seen.Replicas)
	l.say(ReasonFirstVersion, "%s is the first version and comes up%s", v, why(c))
	if l.plan.Deadline > 0 && l.reached(l.s.ProgressAt.Add(l.plan.Deadline)) {
		l.say(ReasonFirstVersionLate, "%s, the first version, serves nothing after %s%s", v, l.plan.Deadline, why(c))
	}
}

// prepareRecreate stops stable, then starts the candidate. In between nothing serves: that is what recreate means.
func (l *look) prepareRecreate() {
	c, r := l.candidate(), l.seen.Replicas
	if !gone(l.stable()) {
		if l.overdue() {
			return
		}
		l.scale(l.s.Stable, 0)
		l.say(ReasonStoppingStable, "%s stops; nothing serves until %s is up", l.s.Stable, l.s.Candidate)
		return
	}
	if c.Asked == r && c.Serving >= r {
		l.move(Promoting)
		return
	}
	if l.overdue() {
		return
	}
	l.scale(l.s.Candidate, r)
	l.sayGrowing(r)
}

// prepareBeside grows the candidate beside stable.
func (l *look) prepareBeside() {
	stable, first := l.targets()
	l.scale(l.s.Stable, stable)
	// By share of instances the candidate would get traffic with its first serving instance. A pin on stable keeps it away;
	// only a rolling update wants just that.
	route := pin(l.s.Stable)
	if l.plan.Strategy == Rolling {
		route = l.rest(l.s.Stable)
	}
	s := l.stable()
	if !l.s.Route.Equal(route) && s.Serving < l.seen.Replicas && l.candidate().Serving > 0 {
		// The plan changed while both shared the traffic.
		if !l.overdue() {
			l.tell(l.s.Route)
			l.say(ReasonStableGrowing, "%s gets all traffic once it can carry it: %d of %d serve%s", l.s.Stable, s.Serving, l.seen.Replicas, why(s))
		}
		return
	}
	if (s.Serving > 0 || l.s.Route.Equal(route)) && !l.tell(route) {
		l.overdue()
		return
	}
	l.scale(l.s.Candidate, first)

	if !l.stands(l.candidate().Asked == first && l.candidate().Serving >= first && (first > 0 || l.seen.Replicas == 0)) {
		if !l.overdue() {
			l.sayGrowing(first)
		}
		return
	}
	atOnce := l.plan.Strategy == BlueGreen || l.seen.Replicas == 0 || l.s.Full || l.plan.Strategy == Canary && len(l.plan.Steps) == 0
	stop := l.atManualStop() && l.s.Promoted == nil && l.seen.Replicas > 0
	answer := open
	if atOnce {
		answer = l.ask(BeforePromotion, !stop && l.s.Paused == nil)
	}
	switch {
	case answer == failed || l.halted():
		return
	case stop:
		l.say(ReasonAwaitingPromote, "%s is complete and can be looked at; it gets all traffic when somebody promotes it", l.s.Candidate)
		return
	case answer == closed:
		return
	case atOnce:
		l.move(Promoting)
		return
	}
	l.move(Shifting)
	l.arrive()
}

func (l *look) sayGrowing(n int) {
	c := l.candidate()
	if l.seen.Replicas == 0 {
		l.say(ReasonScaling, "nobody asks for instances of %s; it waits", l.s.Candidate)
		return
	}
	l.say(ReasonCandidateGrowing, "%s: %d of %d serve%s", l.s.Candidate, min(c.Serving, n), n, why(c))
}

// sayStep names the step that stands or is being made to stand.
func (l *look) stepName() string {
	return fmt.Sprintf("step %d of %d", l.s.Step+1, len(l.plan.Steps))
}
