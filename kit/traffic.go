package kit

import (
	"sync"
	"time"
)

// traffic is what came after the stop was asked for: it says when the drain
// may end, and how long a drain is needed here.
type traffic struct {
	mu          sync.Mutex
	since       time.Time // the stop; zero before it
	lastNew     time.Time // when the last new connection was accepted
	newConns    int
	requests    int
	inFlightMax int64
}

// begin starts the counting, with what is in flight at the stop.
func (c *traffic) begin(at time.Time, inFlight int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since, c.inFlightMax = at, inFlight
}

// newConn counts a connection that was accepted after the stop, once.
func (c *traffic) newConn(t *track) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() || t.accepted.Before(c.since) || !t.told.CompareAndSwap(false, true) {
		return
	}
	c.newConns++
	if t.accepted.After(c.lastNew) {
		c.lastNew = t.accepted
	}
}

// sinceLastNew is how long it has been quiet: since the last new connection,
// or since the stop.
func (c *traffic) sinceLastNew(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastNew.IsZero() {
		return now.Sub(c.since)
	}
	return now.Sub(c.lastNew)
}
