package local

import (
	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/all"
	"gapless.dev/gapless/internal/rollout"
)

// askGates has the gates asked what the state wants to know, and returns their newest answers. The lock is held.
func (s *service) askGates(plan rollout.Plan) map[string]rollout.Verdict {
	s.gates.Only(plan)
	for _, g := range s.app.Gates {
		s.gates.Use(g, func() (gate.Gate, error) { return all.Make(g, s.tools) })
	}
	return s.gates.Keep(s.ctx, plan, s.state, s.subject())
}

// subject is what gates are asked about. The lock is held.
func (s *service) subject() gate.Subject {
	return gate.Subject{
		App: s.app.Name, Entry: s.entry, Host: s.app.Name + ".localhost", Ready: s.app.Health.Ready.Path,
		Stable: s.side(s.state.Stable), Candidate: s.side(s.state.Candidate),
	}
}

func (s *service) side(v rollout.Version) gate.Side {
	out := gate.Side{Version: v, Name: string(v), Weight: s.state.Route.Weights[v]}
	in := s.sets[v]
	if in == nil {
		return out
	}
	first := s.app.Ports[0].Name
	for _, i := range in.all {
		if len(i.ports) == 0 {
			continue
		}
		one := gate.Instance{Name: i.id, Address: loopback(i.ports[first]), Serving: i.stage == ready, Leaving: i.leaving}
		if one.Health = one.Address; s.app.Health.Ready.Port != "" && i.ports[s.app.Health.Ready.Port] != 0 {
			one.Health = loopback(i.ports[s.app.Health.Ready.Port])
		}
		out.Instances = append(out.Instances, one)
	}
	return out
}

// stir wakes the loop.
func (s *service) stir() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// key reads a key for messages.
func (s *service) key(name string) ([]byte, error) { return s.tools.Key(name) }
