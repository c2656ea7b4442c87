package proxy

import (
	"net/http"
	"slices"

	"gapless.dev/gapless/internal/rollout"
)

// pick enters an instance for the request, or returns nil when no version that may get traffic has one. Instances in not are
// passed over: they refused a connection a moment ago.
func (a *App) pick(r *http.Request, not []*Instance, preview bool) *Instance {
	for {
		now := a.now.Load()
		i := a.choose(now, r, not, preview)
		if i == nil && a.now.Load() == now {
			return nil
		}
		// It may have been taken out since now was loaded: then there is a newer routing.
		if i != nil && i.enter() {
			return i
		}
	}
}

func (a *App) choose(now *routing, r *http.Request, not []*Instance, preview bool) *Instance {
	if preview {
		if now.shown == nil {
			return nil
		}
		return a.least(now.shown.in, not)
	}
	matched := a.matched(now, r)
	if a.sticky != "" {
		if i := a.stuck(now, r, matched, not); i != nil {
			return i
		}
	}
	if matched {
		if i := a.least(now.to.in, not); i != nil {
			return i
		}
	}
	if len(now.order) == 0 {
		return nil
	}
	turn := now.order[a.turn.Add(1)%uint64(len(now.order))]
	if i := a.least(now.pools[turn].in, not); i != nil {
		return i
	}
	// The version whose turn it is has nobody left. Whoever has weight stands in: a wrong share is better than a lost request.
	for n := range now.pools {
		if now.pools[n].weight > 0 {
			if i := a.least(now.pools[n].in, not); i != nil {
				return i
			}
		}
	}
	return nil
}

// least is the instance with the fewest requests on it. Among equals the start moves on, so that none is preferred.
func (a *App) least(in, not []*Instance) *Instance {
	if len(in) == 1 && len(not) == 0 {
		return in[0]
	}
	var best *Instance
	var fewest int64
	start := int(a.shift.Add(1) % uint64(max(len(in), 1)))
	for n := range in {
		i := in[(start+n)%len(in)]
		if len(not) > 0 && slices.Contains(not, i) {
			continue
		}
		if busy := i.busy.Load(); best == nil || busy < fewest {
			best, fewest = i, busy
		}
	}
	return best
}

// stuck is the instance that the client was on before, as long as it serves and its version may get traffic.
func (a *App) stuck(now *routing, r *http.Request, matched bool, not []*Instance) *Instance {
	c, err := r.Cookie(a.sticky)
	if err != nil {
		return nil
	}
	n, ok := now.sticky[c.Value]
	if !ok {
		return nil
	}
	p := &now.pools[n]
	if matched && p != now.to || !matched && p.weight == 0 {
		return nil
	}
	for _, i := range p.in {
		if i.token == c.Value && !slices.Contains(not, i) {
			return i
		}
	}
	return nil
}

func matches(m *rollout.Match, r *http.Request) bool {
	for name, want := range m.Header {
		if !slices.Contains(r.Header.Values(name), want) {
			return false
		}
	}
	for name, want := range m.Cookie {
		if c, err := r.Cookie(name); err != nil || c.Value != want {
			return false
		}
	}
	return len(m.Header)+len(m.Cookie) > 0
}
