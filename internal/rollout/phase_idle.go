package rollout

// unseen adopts what stands, or brings up the first version.
func unseen(l *look) {
	v := l.standing()
	switch {
	case v != "":
		l.s.Stable, l.s.Revision = v, max(l.s.Revision, 1)
		l.s.Route = l.seen.Route
		l.followRoute()
		l.move(Idle)
	case l.seen.Wanted != "":
		l.begin(l.seen.Wanted)
	default:
		l.say(ReasonNothingWanted, "no version is asked for")
	}
}

// standing is the version that an app which the engine never saw is taken to be at: the one with the most traffic, then
// the one with the most serving instances, then running ones, then the one that the template asks for, then the first by name.
func (l *look) standing() Version {
	var best Version
	better := func(a, b Version) bool {
		x, y := l.seen.Versions[a], l.seen.Versions[b]
		switch {
		case l.seen.Route.Weights[a] != l.seen.Route.Weights[b]:
			return l.seen.Route.Weights[a] > l.seen.Route.Weights[b]
		case x.Serving != y.Serving:
			return x.Serving > y.Serving
		case x.Running != y.Running:
			return x.Running > y.Running
		case (a == l.seen.Wanted) != (b == l.seen.Wanted):
			return a == l.seen.Wanted
		}
		return a < b
	}
	for v, st := range l.seen.Versions {
		if st.Asked == 0 && st.Running == 0 && l.seen.Route.Weights[v] == 0 {
			continue
		}
		if best == "" || better(v, best) {
			best = v
		}
	}
	return best
}

// idle keeps stable as it is asked for, and begins a passage when another version is.
func idle(l *look) {
	switch w := l.seen.Wanted; {
	case w == "" || w == l.s.Stable:
	case w == l.s.Rejected:
		l.move(Held)
		return
	default:
		l.begin(w)
		return
	}
	if !l.settle() {
		return
	}
	if l.seen.Taken {
		l.act(Action{Kind: Release, Version: l.s.Stable})
		l.say(ReasonReleasing, "%s serves; the app is given back", l.s.Stable)
		return
	}
	if back := l.s.Aborted; back != nil {
		l.say(ReasonAborted, "%s serves; %s went back: %s", l.s.Stable, back.Version, back.Message)
		return
	}
	if s := l.stable(); s.Serving != l.seen.Replicas {
		l.say(ReasonScaling, "%s: %d of %d serve%s", l.s.Stable, s.Serving, l.seen.Replicas, why(s))
		return
	}
	l.say(ReasonServing, "%s serves with %s", l.s.Stable, instances(l.seen.Replicas))
}

// held is idle with a refused template: nothing of it starts, and the app is not given back.
func held(l *look) {
	switch w := l.seen.Wanted; w {
	case l.s.Stable:
		l.move(Idle)
		return
	case l.s.Rejected, "":
	default:
		l.begin(w)
		return
	}
	if !l.settle() {
		return
	}
	l.say(ReasonHeld, "%s serves; %s was refused and is held until another version comes or somebody orders a retry", l.s.Stable, l.s.Rejected)
}

// settle keeps stable's instances and route as they are at rest, and retires what else stands. It tells whether that is all so.
func (l *look) settle() bool {
	s, strays := l.stable(), l.strays()
	l.scale(l.s.Stable, l.seen.Replicas)

	route := l.rest(l.s.Stable)
	if len(strays) > 0 {
		route = pin(l.s.Stable) // an open route would go on sending to them
	}
	if !l.s.Route.Equal(route) && !l.canTakeAll(strays) {
		l.say(ReasonStableGrowing, "%s gets all traffic once it can carry it: %d of %d serve%s", l.s.Stable, s.Serving, l.seen.Replicas, why(s))
		return false
	}
	if !l.tell(route) {
		l.say(ReasonRestoring, "the data plane is to have: %s%s", route, l.waits())
		return false
	}
	for _, v := range strays {
		if !l.retire(v) {
			return false
		}
	}
	if s.Asked != l.seen.Replicas {
		l.say(ReasonScaling, "%s goes from %d to %d instances", l.s.Stable, s.Asked, l.seen.Replicas)
		return false
	}
	return true
}

// canTakeAll tells whether stable carries all traffic, or carries some while nothing else carries any.
func (l *look) canTakeAll(others []Version) bool {
	s := l.stable()
	if s.Serving >= l.seen.Replicas {
		return true
	}
	for _, v := range others {
		if l.seen.Versions[v].Serving > 0 {
			return false
		}
	}
	return s.Serving > 0 || l.s.Route.Reaches(l.s.Stable)
}
