package local

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gapless.dev/gapless/internal/controller"
	"gapless.dev/gapless/internal/rollout"
)

// Observe looks at the processes and reads the route back from the proxy itself, which is why its grade is Acknowledged.
func (s *service) Observe(context.Context) (controller.Seen, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.observed = s.asked
	seen := controller.Seen{Plan: s.plan(), State: s.state, Snapshot: rollout.Snapshot{
		Now: now(), Wanted: s.book.Wanted, Replicas: s.book.Replicas,
		Versions: map[rollout.Version]rollout.Standing{}, Route: s.data.Route(), Grade: rollout.Acknowledged,
	}}
	for v, in := range s.sets {
		seen.Snapshot.Versions[v] = s.standing(v, in)
	}
	for _, o := range s.book.Orders {
		if o.ID > s.state.Done {
			seen.Snapshot.Orders = append(seen.Snapshot.Orders, o)
		}
	}
	seen.Snapshot.Gates = s.askGates(seen.Plan)
	if s.gates.Sees(seen.Snapshot.Route, s.state.ToldAt) {
		seen.Snapshot.Grade = rollout.Seen
	}
	return seen, nil
}

// plan is the app file's, but for the drain: it stands in where nobody knows what is on its way. The proxy knows, and each
// instance waits for its own last answer before it is stopped, Stop.Drain at most.
func (s *service) plan() rollout.Plan {
	p := s.app.Plan
	p.App, p.Split, p.Drain = s.app.Name, rollout.ByWeight, 0
	return p
}

// now has neither a monotonic reading nor a zone, so that it is the same after it was written down.
func now() time.Time { return time.Now().UTC().Round(0) }

// Save keeps the engine's state for good.
func (s *service) Save(_ context.Context, state rollout.State) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := write(s.file("state.json"), state); err != nil {
		return err
	}
	s.state = state
	s.show()
	if last := len(s.book.Orders); last > 0 && s.book.Orders[0].ID <= state.Done {
		s.book.Orders = slices.DeleteFunc(s.book.Orders, func(o rollout.Order) bool { return o.ID <= state.Done })
		return s.saveBook()
	}
	return nil
}

// show lets the candidate of a blue-green be looked at. The lock is held.
func (s *service) show() {
	shown := rollout.Version("")
	if s.app.Plan.Strategy == rollout.BlueGreen {
		shown = s.state.Candidate
	}
	s.data.Show(shown)
}

func (s *service) saveBook() error { return write(s.file("app.json"), s.book) }

// Apply carries an action out. Starting and stopping go on behind it, and wake the loop.
func (s *service) Apply(_ context.Context, a rollout.Action) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch a.Kind {
	case rollout.Scale:
		if _, known := s.book.Templates[a.Version]; !known && a.Replicas > 0 {
			return fmt.Errorf("nothing is known of how to start it: deploy it again")
		}
		s.scale(a.Version, a.Replicas)
		s.saveInstances()
	case rollout.SetRoute:
		s.data.SetRoute(*a.Route)
	case rollout.WriteBack:
		if s.book.Wanted != a.Over {
			return nil // somebody asked for yet another version meanwhile
		}
		s.book.Wanted, s.book.WantedBy = a.Version, ""
		return s.saveBook()
	case rollout.Remove:
		s.scale(a.Version, 0)
		s.saveInstances()
	case rollout.Release: // there is nothing to let go of
	}
	return nil
}

var _ controller.Platform = (*service)(nil)
