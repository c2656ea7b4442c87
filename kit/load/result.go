package load

import (
	"net/http"
	"time"
)

// A Result is what became of one request: exactly one for each that was due.
type Result struct {
	// Seq is the request's number in the schedule.
	Seq int
	// ID is unique in the run, and across runs as good as; it is sent as header
	// [IDHeader] and, with POST, as the body.
	ID string
	// Method is GET or POST.
	Method string
	// Proto is HTTP/1.1 or HTTP/2.0.
	Proto string
	// Reused says whether the connection had been used before this request.
	Reused bool
	// Scheduled is when the request was due, Started when work on it began (so the
	// difference is the error of the schedule), Ended when the outcome was known.
	Scheduled, Started, Ended time.Time
	// Class is Answered, or how the request was lost.
	Class Class
	// Err says in words what went wrong. Empty when answered.
	Err string
	// Status is the response's status, 0 when none arrived.
	Status int
	// Version is the version of the service that answered, as far as known.
	Version string
}

// Latency is the time from when the request was due to its end. Counting from the schedule,
// not from the start, keeps a stalled service from hiding its own slowness.
func (r Result) Latency() time.Duration { return r.Ended.Sub(r.Scheduled) }

// An Answer is a complete response, as [Options.Check] and [Options.Version] see it.
type Answer struct {
	Status int
	Header http.Header
	// Trailer is what came after the body.
	Trailer http.Header
	// Body is the first MiB of the body. It is only valid during the call.
	Body []byte
}

const (
	// IDHeader carries the request's id.
	IDHeader = "Gapless-Request-Id"
	// VersionHeader names, in a response, the version that answered.
	VersionHeader = "Gapless-Version"
)

// HeaderVersion reads the version from [VersionHeader]. It is the default of [Options.Version].
func HeaderVersion(a Answer) string { return a.Header.Get(VersionHeader) }
