package rollout

// promoting gives the candidate all instances, then all traffic.
func promoting(l *look) {
	l.grown()
	if l.lost() {
		return
	}
	c, r, first := l.candidate(), l.seen.Replicas, l.s.Stable == ""
	all := pin(l.s.Candidate)
	enough := c.Serving >= l.whole() && c.Asked >= l.whole()

	// A newer version is wanted than the first one, which serves already: that is enough of it.
	if first && l.seen.Wanted != l.s.Candidate && c.Serving > 0 {
		enough = true
	}
	if enough && l.converged() && l.s.Route.Equal(all) {
		if !l.halted() {
			l.move(Finishing)
			return
		}
		l.hold()
		return
	}
	if l.overdue() {
		return
	}
	if l.s.Paused != nil {
		l.hold()
		return
	}
	stable, candidate := l.targets()
	if !first && l.plan.Strategy != Recreate {
		l.scale(l.s.Stable, stable)
	}
	l.scale(l.s.Candidate, candidate)
	if enough || first && c.Serving > 0 {
		if l.tellOn(all) {
			l.sayGrowing(r)
		}
		return
	}
	if !first {
		l.keepRoute()
	}
	l.sayGrowing(r)
}
