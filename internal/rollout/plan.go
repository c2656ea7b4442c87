package rollout

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrPlan is what every error of Validate wraps.
var ErrPlan = errors.New("invalid plan")

// Defaults fills in what a plan leaves open: rolling, by weight, one instance of surge.
func Defaults(p Plan) Plan {
	if p.Strategy == "" {
		p.Strategy = Rolling
	}
	if p.Split == "" {
		p.Split = ByWeight
	}
	if p.Strategy == Rolling && p.MaxSurge <= 0 && p.MaxUnavailable <= 0 {
		p.MaxSurge = 1
	}
	if p.Strategy == Canary && p.Split == ByShare && p.MaxSurge <= 0 {
		p.MaxSurge = 1 // without room beside stable, serving capacity would have to go first
	}
	p.MaxSurge, p.MaxUnavailable = max(p.MaxSurge, 0), max(p.MaxUnavailable, 0)
	return p
}

// Validate tells what is wrong with a plan: field, value and fix. It reports every problem, and nil if there is none.
func (p Plan) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: %s", ErrPlan, fmt.Sprintf(format, args...)))
	}
	if !slices.Contains([]Strategy{"", Recreate, Rolling, BlueGreen, Canary}, p.Strategy) {
		bad("strategy %q: use recreate, rolling, blue-green or canary", p.Strategy)
	}
	if !slices.Contains([]Split{"", ByWeight, ByShare}, p.Split) {
		bad("split %q: use weight or share", p.Split)
	}
	if p.MaxSurge < 0 {
		bad("maxSurge %d: use 0 or more", p.MaxSurge)
	}
	if p.MaxUnavailable < 0 {
		bad("maxUnavailable %d: use 0 or more", p.MaxUnavailable)
	}
	if p.HoldBack < 0 {
		bad("holdBack %s: use 0s or more", p.HoldBack)
	}
	if p.Drain < 0 {
		bad("drain %s: use 0s or more", p.Drain)
	}
	if p.Deadline < 0 {
		bad("deadline %s: use 0s for never, or more", p.Deadline)
	}
	if p.Strategy == Canary && len(p.Steps) == 0 {
		bad("steps: a canary has at least one, such as {weight: 25, pause: 30s}")
	}
	last, users := 0, 0
	for i, s := range p.Steps {
		field := fmt.Sprintf("steps[%d]", i)
		if s.Weight < 0 || s.Weight > 100 {
			bad("%s.weight %d: use 0 to 100", field, s.Weight)
		}
		if s.Weight < last {
			bad("%s.weight %d: weights never fall, and the step before has %d", field, s.Weight, last)
		}
		if s.Weight > 0 && s.Weight < users {
			bad("%s.weight %d: shares never fall, and a step before has %d %% of the users", field, s.Weight, users)
		}
		last = max(last, s.Weight)
		if s.Mirror < 0 || s.Mirror > 100 {
			bad("%s.mirror %d: use 0 to 100", field, s.Mirror)
		}
		if s.Pause < 0 {
			bad("%s.pause %s: use 0s or more", field, s.Pause)
		}
		if s.MirrorWrites && s.Mirror == 0 {
			bad("%s.mirrorWrites: it says of what kind mirrored requests may be; give mirror a share, or leave it out", field)
		}
		if m := s.Match; m != nil {
			named := len(m.Header) + len(m.Cookie)
			if named == 0 && m.Users == 0 {
				bad("%s.match: name at least one header or cookie, or give a share of users, or leave it out", field)
			}
			if m.Users < 0 || m.Users > 100 {
				bad("%s.match.users %d: use 1 to 100", field, m.Users)
			}
			if m.Users > 0 && named > 0 {
				bad("%s.match: users stands alone; leave it or header and cookie out", field)
			}
			if m.Users > 0 && last > 0 {
				bad("%s.match.users: it is a share of all users, and the step has weight %d as well; leave weight out of this step and those before it", field, last)
			}
			if m.Users > 0 && m.Users < users {
				bad("%s.match.users %d: shares never fall, and a step before has %d", field, m.Users, users)
			}
			users = max(users, m.Users)
		}
		if p.Split == ByShare && (s.Match != nil || s.Mirror > 0) {
			bad("%s: match and mirror need a router; a plain Service divides traffic by instances only", field)
		}
		if s.Match != nil {
			for _, k := range slices.Sorted(maps.Keys(s.Match.Header)) {
				if k == "" {
					bad("%s.match.header: a header has a name", field)
				}
			}
		}
	}
	p.validateGates(bad)
	return errors.Join(errs...)
}

func (p Plan) validateGates(bad func(format string, args ...any)) {
	seen := map[string]bool{}
	for i, g := range p.Gates {
		field := fmt.Sprintf("gates[%d]", i)
		if g.Name == "" {
			bad("%s.name: a gate has a name", field)
		}
		if seen[g.Name] {
			bad("%s.name %q: give each gate a name of its own", field, g.Name)
		}
		seen[g.Name] = true
		if g.Deadline < 0 {
			bad("%s.deadline %s: use 0s for never, or more", field, g.Deadline)
		}
		if len(g.At) == 0 {
			bad("%s.at: name at least one of beforeStart, step, beforePromotion, afterPromotion", field)
		}
		for _, m := range g.At {
			switch {
			case !slices.Contains(Moments, m):
				bad("%s.at %q: use beforeStart, step, beforePromotion or afterPromotion", field, m)
			case m == DuringStep && p.Strategy == BlueGreen:
				bad("%s.at step: a blue-green has no steps; use beforePromotion for the preview, or afterPromotion", field)
			case (m == DuringStep || m == BeforePromotion) && p.Strategy == Recreate:
				bad("%s.at %s: in a recreate nothing serves meanwhile; use beforeStart or afterPromotion", field, m)
			}
		}
	}
}
