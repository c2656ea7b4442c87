package rollout

// targets is how many instances stable and candidate are to have in Preparing, Shifting and Promoting.
func (l *look) targets() (stable, candidate int) {
	switch {
	case l.plan.Strategy == Recreate:
		return l.stable().Asked, l.seen.Replicas
	case l.plan.Strategy == Rolling:
		return l.rollingTargets()
	case l.plan.Strategy == Canary && l.plan.Split == ByShare:
		return l.sharedTargets()
	}
	return l.seen.Replicas, l.candidateTarget()
}

// candidateTarget is the candidate's size where stable keeps all its own: what the step needs, and never less than what
// its present weight needs.
func (l *look) candidateTarget() int {
	r := l.seen.Replicas
	step, ok := l.step()
	if !ok || r == 0 {
		return r
	}
	weight := max(step.load(), l.seen.Route.Weights[l.s.Candidate])
	n := need(weight, r)
	if l.stable().Serving < r {
		n = max(n, l.candidate().Asked) // what stable lacks, the candidate may be carrying
	}
	return min(r, n)
}

// step is the canary step that stands or is being made to stand. There is none when all the rest is due.
func (l *look) step() (Step, bool) {
	if l.plan.Strategy != Canary || l.s.Full || l.s.Phase == Promoting || l.s.Step >= len(l.plan.Steps) {
		return Step{}, false
	}
	step := l.plan.Steps[l.s.Step]
	step.Weight = max(step.Weight, l.s.Weight()) // the plan may have changed, and weights never fall on the way forward
	return step, true
}

// rollingTargets lets stable shrink by what the candidate backs: instances that serve and whose weight has converged.
// The candidate grows into the room that then is within the surge.
func (l *look) rollingTargets() (stable, candidate int) {
	r, s, c := l.seen.Replicas, l.stable(), l.candidate()
	surge, unavailable := l.room()
	backed := min(c.Serving, need(l.s.Weight(), r))
	if l.s.Route.Open {
		backed = min(c.Serving, r)
	}
	stable = max(min(1, r), r-backed-unavailable) // the last one goes without traffic, in Finishing
	if still := l.s.Paused != nil || l.s.Phase == Promoting || !l.converged(); still {
		stable = max(stable, min(s.Asked, r))
	}
	candidate = r + surge - max(s.Running, s.Asked, stable)
	if l.s.Paused != nil {
		candidate = 0
	}
	candidate = min(r, max(candidate, c.Asked, 0))
	return stable, candidate
}

// room is by how many instances a rolling update may exceed and fall below what is asked for. Where that would stop the last
// serving instance before another serves, one more stands for a moment.
func (l *look) room() (surge, unavailable int) {
	if l.plan.MaxSurge == 0 && l.plan.MaxUnavailable >= l.seen.Replicas {
		return 1, 0
	}
	return l.plan.MaxSurge, l.plan.MaxUnavailable
}

// whole is how many serving instances of a version may have all traffic. Without surge the last ones only have room
// when the other version is gone.
func (l *look) whole() int {
	if l.plan.Strategy != Rolling {
		return l.seen.Replicas
	}
	surge, unavailable := l.room()
	if surge > 0 {
		return l.seen.Replicas
	}
	return l.seen.Replicas - unavailable
}

// sharedTargets approaches the step's share of instances from both sides, with replicas + surge at most and replicas serving at least.
func (l *look) sharedTargets() (stable, candidate int) {
	r, s, c := l.seen.Replicas, l.stable(), l.candidate()
	goal := r
	if step, ok := l.step(); ok {
		goal = shareOf(step.Weight, r, l.plan.MaxSurge)
	}
	total := r + l.plan.MaxSurge
	switch {
	case !l.s.Route.Open && l.s.Weight() == 100:
		return min(s.Asked, r), r // stable serves nothing any more and stays until it is retired
	case !l.s.Route.Open:
		return r, max(min(goal, l.plan.MaxSurge), min(c.Asked, goal)) // stable is pinned: only the surge has room for the candidate
	case l.s.Paused != nil || !l.converged():
		return min(r, max(s.Asked, r-c.Serving)), min(c.Asked, r)
	}
	stable = min(r, max(total-goal, r-c.Serving, 0))
	candidate = min(goal, max(total-max(s.Running, stable), min(c.Asked, goal), 0))
	candidate = max(candidate, min(c.Asked, r-s.Serving)) // the plan may have changed: nobody shrinks before the other has grown
	return stable, candidate
}

// shareOf is how many of replicas + surge instances come nearest to a weight. With any weight at all it is at least one.
func shareOf(weight, replicas, surge int) int {
	if replicas == 0 || weight == 0 {
		return min(1, replicas)
	}
	return max(1, min(replicas, (weight*(replicas+surge)+50)/100))
}
