package load

import (
	"math"
	"net/http"
	"time"
)

// A Schedule is when which request is due. It is pure: the same schedule gives the same
// shots on every run and every machine, and nothing that a server answers changes it.
type Schedule struct {
	// Rate is requests per second.
	Rate float64
	// For is how long requests are due. 0 means without end.
	For time.Duration
	// New, Post and H2 are shares from 0 to 1: on a new connection instead of a reused one,
	// POST instead of GET, HTTP/2 instead of HTTP/1.1. The three are spread independently,
	// so every combination occurs.
	New, Post, H2 float64
}

// A Shot is one request that is due.
type Shot struct {
	// Seq counts from 0.
	Seq int
	// At is when the request is due, from the start of the run.
	At time.Duration
	// Method is GET or POST.
	Method string
	// New asks for a connection of its own, closed after the answer.
	New bool
	// HTTP2 asks for HTTP/2; otherwise it is HTTP/1.1.
	HTTP2 bool
}

// Each share walks the unit interval by its own irrational step (the fractions of the
// square roots of 2, 3 and 5, as 64-bit fixed point). So any stretch of the run has nearly
// the exact shares, without randomness and without the shares moving in step.
const (
	stepNew  uint64 = 0x6a09e667f3bcc908
	stepPost uint64 = 0xbb67ae8584caa73b
	stepH2   uint64 = 0x3c6ef372fe94f82b
)

// Shot returns the request with the given number.
func (s Schedule) Shot(seq int) Shot {
	shot := Shot{
		Seq:    seq,
		At:     s.at(seq),
		Method: http.MethodGet,
		New:    falls(seq, stepNew, s.New),
		HTTP2:  falls(seq, stepH2, s.H2),
	}
	if falls(seq, stepPost, s.Post) {
		shot.Method = http.MethodPost
	}
	return shot
}

// Count is how many requests the schedule holds, or -1 without end.
func (s Schedule) Count() int {
	if s.For <= 0 {
		return -1
	}
	n := int(math.Ceil(s.For.Seconds() * s.Rate))
	for n > 0 && s.at(n-1) >= s.For {
		n--
	}
	return n
}

// Interval is the time between two requests.
func (s Schedule) Interval() time.Duration { return s.at(1) }

// at is computed from the number, never added up, so that it does not drift.
func (s Schedule) at(seq int) time.Duration {
	return time.Duration(math.Round(float64(seq) * float64(time.Second) / s.Rate))
}

func falls(seq int, step uint64, share float64) bool {
	switch {
	case share <= 0:
		return false
	case share >= 1:
		return true
	}
	// Half a turn ahead, so that number 0 is an ordinary one.
	return step*uint64(seq)+1<<63 < uint64(share*(1<<63))<<1
}
