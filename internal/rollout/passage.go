package rollout

import "fmt"

// begin starts a passage from stable to a version.
func (l *look) begin(v Version) {
	l.s.Revision++
	l.s.Candidate = v
	l.s.Step = 0
	l.s.Rejected, l.s.Aborted = "", nil
	l.s.Paused, l.s.Promoted, l.s.Called, l.s.Full = nil, nil, nil, false
	l.s.Undo, l.s.Past = false, ""
	l.move(Preparing)
}

// abort turns a passage back. A refused version is not tried again by itself.
func (l *look) abort(refused bool, reason, format string, args ...any) {
	l.s.Aborted = &Setback{
		Version: l.s.Candidate, Reason: reason, Message: fmt.Sprintf(format, args...), At: l.seen.Now,
		Refused: refused, Untouched: l.s.Called != nil,
	}
	if refused {
		l.s.Rejected = l.s.Candidate
	}
	l.s.Paused, l.s.Called, l.s.Full = nil, nil, false
	l.move(Aborting)
}

// finish makes the candidate stable.
func (l *look) finish() {
	if l.s.Stable != "" {
		l.s.Previous = l.s.Stable
	}
	l.s.Stable, l.s.Candidate = l.s.Candidate, ""
	l.s.Paused, l.s.Full, l.s.Step = nil, false, 0
	l.move(Idle)
}

// followTemplate turns a passage back when the template asks for another version than the candidate.
func (l *look) followTemplate() {
	w := l.seen.Wanted
	if !Active(l.s.Phase) || l.s.Phase == Aborting || w == "" {
		return
	}
	if w == l.s.Candidate {
		l.s.Called = nil // its template is written
		return
	}
	if w == l.s.Stable {
		if l.s.Called == nil {
			l.abort(false, ReasonTemplateWentBack, "the template asks for %s again", w)
		}
		return
	}
	// What has all traffic already is finished first, and the newer version comes after it.
	if l.s.Phase == Finishing || l.s.Phase == Promoting && l.converged() && l.s.Weight() == 100 {
		return
	}
	if l.s.Stable != "" {
		l.abort(false, ReasonSuperseded, "%s came before %s was promoted", w, l.s.Candidate)
		return
	}
	if !l.s.Route.Reaches(l.s.Candidate) && l.candidate().Serving == 0 {
		l.abort(false, ReasonCandidateUnwanted, "%s came before %s had served", w, l.s.Candidate)
	}
}

// overdue aborts a passage that made no progress within the deadline, and tells whether it did.
func (l *look) overdue() bool {
	if l.plan.Deadline <= 0 || l.s.Paused != nil || l.s.Stable == "" || !l.reached(l.s.ProgressAt.Add(l.plan.Deadline)) {
		return false
	}
	if l.s.Called != nil {
		l.abort(false, ReasonTemplateNotTaken, "the template could not be written in %s", l.plan.Deadline)
		return true
	}
	c := l.candidate()
	l.abort(true, ReasonDeadlineExceeded, "no progress in %s; %s of %s served%s", l.plan.Deadline, instances(c.Serving), l.s.Candidate, why(c))
	return true
}

// lost aborts a passage whose candidate had traffic and has no serving instance left, and tells whether it did.
func (l *look) lost() bool {
	c := l.candidate()
	if !l.s.Route.Reaches(l.s.Candidate) || c.Serving+c.Unlisted > 0 || l.s.Most == 0 || l.seen.Replicas == 0 || l.s.Stable == "" {
		return false
	}
	l.abort(true, ReasonCandidateLost, "no instance of %s serves any more%s", l.s.Candidate, why(c))
	return true
}

// grown notes that the candidate has more serving instances than ever in this step.
func (l *look) grown() {
	if n := l.candidate().Serving; n > l.s.Most {
		l.s.Most, l.s.ProgressAt = n, l.seen.Now
	}
}

// stands notes whether the step stands. When it ceases to, the deadline runs from there.
func (l *look) stands(now bool) bool {
	if now && l.s.StandsAt.IsZero() {
		l.s.StandsAt = l.seen.Now
	}
	if !now && l.s.Stands {
		l.s.ProgressAt = l.seen.Now
	}
	l.s.Stands = now
	return now
}

// halted says so if somebody paused the rollout.
func (l *look) halted() bool {
	if l.s.Paused == nil {
		return false
	}
	l.say(ReasonPaused, "paused by %s", l.s.Paused.By)
	return true
}
