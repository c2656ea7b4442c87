package kit

import (
	"fmt"
	"slices"
	"time"
)

// Phase is where a service is in its life. It only ever goes forward.
type Phase string

const (
	// PhaseStarting: not all ReadyWhen conditions have been met; nothing is
	// served but health. Ends when all are met, or with a stop.
	PhaseStarting Phase = "Starting"
	// PhaseReady: serving. Ends with SIGTERM, SIGINT, the end of Run's context,
	// or a failure.
	PhaseReady Phase = "Ready"
	// PhaseDraining: still serving everybody, and telling them to leave. Ends
	// when the drain delay has passed and no new connection has come for 1 s.
	PhaseDraining Phase = "Draining"
	// PhaseQuiescing: nobody new is accepted, what is on its way is ended. Ends
	// when nothing is in flight, or when the time for that is used up.
	PhaseQuiescing Phase = "Quiescing"
	// PhaseClosing: what is left is cut and counted, the OnStop hooks run.
	PhaseClosing Phase = "Closing"
	// PhaseDone: the report is written; Run returns.
	PhaseDone Phase = "Done"
)

// legal lists for each phase what may follow it, in the order of life.
var legal = []edge{
	{PhaseStarting, []Phase{PhaseReady, PhaseQuiescing}}, // a stop before Ready skips the drain: nobody was sent here
	{PhaseReady, []Phase{PhaseDraining}},
	{PhaseDraining, []Phase{PhaseQuiescing}},
	{PhaseQuiescing, []Phase{PhaseClosing}},
	{PhaseClosing, []Phase{PhaseDone}},
	{PhaseDone, nil},
}

type edge struct {
	from Phase
	to   []Phase
}

func (p Phase) index() int {
	return slices.IndexFunc(legal, func(e edge) bool { return e.from == p })
}

// enter moves the service to the next phase and tells whoever listens. An
// illegal move is a bug in kit, not a state to go on from.
func (s *Service) enter(next Phase) {
	s.mu.Lock()
	from := s.phase
	if !slices.Contains(legal[from.index()].to, next) {
		s.mu.Unlock()
		panic(fmt.Sprintf("kit: invalid transition %s -> %s", from, next))
	}
	s.phase = next
	s.entered = append(s.entered, entry{next, time.Now()})
	s.mu.Unlock()

	switch next {
	case PhaseReady:
		close(s.ready)
	case PhaseDraining, PhaseQuiescing:
		if s.leaving.CompareAndSwap(false, true) {
			close(s.draining)
		}
	case PhaseClosing:
		close(s.quiet)
	}
	s.readinessChanged()
	s.log.Info("phase", "service", s.name(), "phase", string(next))
	s.phases <- next
}

// entry is a phase and when it began.
type entry struct {
	phase Phase
	at    time.Time
}

// Phase is where the service is now.
func (s *Service) Phase() Phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase
}

// OnPhase calls f with every phase that is entered, in order and one at a
// time. A slow f delays the next call, never the phases themselves; only the
// end waits for it, within the budget.
func (s *Service) OnPhase(f func(Phase)) { s.onPhase = append(s.onPhase, f) }

// tellPhases runs the OnPhase callbacks until the channel is closed.
func (s *Service) tellPhases() {
	for phase := range s.phases {
		for _, f := range s.onPhase {
			f(phase)
		}
	}
}
