package kit

import (
	"errors"
	"fmt"
	"time"
)

// ErrBudget is wrapped by every refusal of a [Budget].
var ErrBudget = errors.New("time budget")

// Budget is the time a service has between being asked to stop and being
// killed, and what it is spent on. The zero value is refused; start from
// [DefaultBudget].
type Budget struct {
	// Grace is what the platform gives before it kills: in Kubernetes
	// terminationGracePeriodSeconds, preStop hook included. Default 30 s.
	Grace time.Duration
	// PreStop is how much of Grace a preStop sleep uses before the signal
	// comes. Default 0.
	PreStop time.Duration
	// Drain is how long traffic may still be routed here after the decision
	// to stop, and so how long the service goes on serving. Default 5 s.
	Drain time.Duration
	// Close is kept for the OnStop hooks. Default 3 s.
	Close time.Duration
	// Margin is never planned into: signal delivery and the exit itself cost
	// real time, and a kubelet's own floor is 2 s. Default 2 s.
	Margin time.Duration
}

// DefaultBudget is that of a pod that says nothing: 30 s, of which 5 s drain,
// 20 s end requests in flight, 3 s close and 2 s are not planned into.
func DefaultBudget() Budget {
	return Budget{
		Grace:  30 * time.Second,
		Drain:  5 * time.Second,
		Close:  3 * time.Second,
		Margin: 2 * time.Second,
	}
}

// Split is a budget divided into the phases that follow the stop signal.
// Time that a phase does not use flows to the later ones.
type Split struct {
	Drain    time.Duration // how long Draining lasts at least
	DrainMax time.Duration // and at most, while new connections keep coming
	InFlight time.Duration // what Quiescing has to end what is on its way
	Close    time.Duration // what Closing has for the OnStop hooks
	Total    time.Duration // from the signal to the last moment to exit
}

const (
	// announce is the least drain that is left in process when a preStop
	// sleep has done the waiting: kept-alive clients must still hear
	// "Connection: close" once.
	announce = 2 * time.Second
	// leastInFlight is the shortest time for requests in flight that is
	// worth starting with.
	leastInFlight = time.Second
	// quietFor is how long no new connection may have come for Draining to end.
	quietFor = time.Second
)

// Split divides the budget, or says why it cannot be divided and which value
// would do. It leaves at least 1 s for requests in flight.
func (b Budget) Split() (Split, error) {
	for _, field := range []struct {
		name  string
		value time.Duration
	}{
		{"grace", b.Grace}, {"prestop", b.PreStop}, {"drain", b.Drain}, {"close", b.Close}, {"margin", b.Margin},
	} {
		if field.value < 0 {
			return Split{}, fmt.Errorf("%w: %s is %v; it cannot be negative", ErrBudget, field.name, field.value)
		}
	}

	// The sleep has done part of the drain; what is left of it is never less
	// than what announcing needs, nor more than was asked for.
	drain := max(b.Drain-b.PreStop, min(b.Drain, announce))
	inFlight := b.Grace - b.PreStop - drain - b.Close - b.Margin
	if inFlight < leastInFlight {
		need := b.PreStop + drain + leastInFlight + b.Close + b.Margin
		return Split{}, fmt.Errorf(
			"%w: grace %v - prestop %v - drain %v - close %v - margin %v leaves %v for requests in flight; raise grace to at least %v or lower the drain",
			ErrBudget, b.Grace, b.PreStop, drain, b.Close, b.Margin, inFlight, need)
	}
	return Split{
		Drain:    drain,
		DrainMax: drain + inFlight/2,
		InFlight: inFlight,
		Close:    b.Close,
		Total:    drain + inFlight + b.Close,
	}, nil
}

// drained reports whether Draining may end: the delay has passed and nobody
// new has come for a while, or the delay has been stretched to its maximum.
func (s Split) drained(elapsed, sinceLastNew time.Duration) bool {
	if elapsed >= s.DrainMax {
		return true
	}
	return elapsed >= s.Drain && sinceLastNew >= min(quietFor, s.Drain)
}

// closeShare is the probability that a response tells its client to leave,
// elapsed after the signal: it grows evenly to 1 at half the drain, so that
// clients move one after another and all of them have heard before the end.
func (s Split) closeShare(elapsed time.Duration) float64 {
	if 2*elapsed >= s.Drain {
		return 1
	}
	return 2 * float64(elapsed) / float64(s.Drain)
}
