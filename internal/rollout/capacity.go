package rollout

import (
	"maps"
	"slices"
)

// Weights are whole percents and instances are whole, so both are rounded, always to the safe side:
//
//	need(w)   the instances that a weight needs, rounded up:           25 % of 3 is 1
//	carry(n)  the weight that n serving instances carry, rounded down: 1 of 3 is 33 %
//
// A weight w that need(w) instances serve is never above carry(need(w)). In a rolling update the two versions share what
// is asked for, and their weights must sum to 100: 33 and 67 with 1 and 2 of 3. So the bound that holds for every
// weight is bound(n) = ceil(100 x n / replicas), and 67 on 2 of 3 is within it.

// load is the greatest share of traffic in percent that a step may send to the candidate. What a match by header sends is not known
// and small.
func (s Step) load() int {
	users := 0
	if s.Match != nil {
		users = s.Match.Users
	}
	return max(s.Weight, s.Mirror, users, 1)
}

// need is how many of the replicas a weight needs.
func need(weight, replicas int) int { return (weight*replicas + 99) / 100 }

// carry is the weight that n of the replicas carry. Where nothing is asked for, nothing is too little.
func carry(n, replicas int) int {
	if replicas <= 0 {
		return 100
	}
	return min(100, 100*n/replicas)
}

// bound is the highest weight that n of the replicas may ever have.
func bound(n, replicas int) int {
	if replicas <= 0 {
		return 100
	}
	return min(100, (100*n+replicas-1)/replicas)
}

// fewest is how few of the replicas may have a weight: the inverse of bound.
func fewest(weight, replicas int) int {
	if weight <= 0 {
		return 0
	}
	return (weight-1)*replicas/100 + 1
}

// limit is the weight that the candidate may keep. What it cannot carry goes to stable, as far as stable has room for it.
func (l *look) limit() int {
	r, s, c := l.seen.Replicas, l.stable().Serving, l.candidate().Serving
	switch {
	case r == 0 || s == 0:
		return 100 // nowhere else is any better
	case c == 0:
		return 0
	}
	return max(carry(c, r), 100-carry(s, r))
}

// scale asks for n instances of a version, unless that was asked for already. Where one step ends and the next begins in one look, what the
// last of them wants counts.
func (l *look) scale(v Version, n int) {
	if l.seen.Versions[v].Asked != n {
		l.act(Action{Kind: Scale, Version: v, Replicas: n})
		return
	}
	l.actions = slices.DeleteFunc(l.actions, func(a Action) bool { return a.Kind == Scale && a.Version == v })
}

// gone tells whether no instance of a version is left, not even a stopping one, and none is asked for.
func gone(s Standing) bool { return s.Asked == 0 && s.Running == 0 && s.Stopping == 0 }

// retire takes an undisturbed way to 0: no traffic, drained, scaled down, gone. It tells whether it got there.
func (l *look) retire(v Version) bool {
	st := l.seen.Versions[v]
	if gone(st) {
		return true
	}
	if st.Asked == 0 && st.Running == 0 {
		l.say(ReasonStopping, "%s: %s left to stop", v, instances(st.Stopping))
		return false
	}
	if !l.drained(v) {
		l.say(ReasonDraining, "%s gets no new traffic and finishes what it has", v)
		return false
	}
	l.scale(v, 0)
	l.say(ReasonStopping, "%s stops: %s left", v, instances(st.Running+st.Stopping))
	return false
}

// strays are the versions beside stable and candidate of which instances stand, in the order of their names.
func (l *look) strays() []Version {
	var found []Version
	for _, v := range slices.Sorted(maps.Keys(l.seen.Versions)) {
		if v != l.s.Stable && v != l.s.Candidate && !gone(l.seen.Versions[v]) {
			found = append(found, v)
		}
	}
	return found
}
