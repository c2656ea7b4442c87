package proxy

import (
	"maps"
	"sync/atomic"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// Counts are what the proxy has seen of one version since it began to serve.
type Counts struct {
	// Requests that were answered by the version, or were lost at it. Retried ones count at the instance that answered.
	Requests int64 `json:"requests"`
	// Status5xx are answers of the version itself; Errors are requests that it did not answer, or not to the end.
	Status5xx int64 `json:"status5xx"`
	Errors    int64 `json:"errors"`
	// Gone counts clients that left before the answer was complete. They are no errors.
	Gone int64 `json:"gone"`
	// Retried counts connections that an instance refused; the request went to another one.
	Retried  int64 `json:"retried"`
	InFlight int64 `json:"inFlight"`
	// Latency is the sum over Requests, to the end of the answer.
	Latency time.Duration `json:"latency"`
	Mirror  MirrorCounts  `json:"mirror"`
}

// MirrorCounts compare the dropped answers of a version with the real ones.
type MirrorCounts struct {
	Sent int64 `json:"sent"`
	// Skipped were due, but too many were on their way.
	Skipped   int64 `json:"skipped"`
	Status5xx int64 `json:"status5xx"`
	Errors    int64 `json:"errors"`
	// Differ counts answers with another status than the real one.
	Differ int64 `json:"differ"`
	// Latency and RealLatency are sums over the mirrored requests, to the end of the answer's head.
	Latency     time.Duration `json:"latency"`
	RealLatency time.Duration `json:"realLatency"`
}

type counts struct {
	requests, status5xx, errors, gone, retried, latency atomic.Int64
	mirror                                              struct {
		sent, skipped, status5xx, errors, differ, latency, real atomic.Int64
	}
}

// Counts returns what was counted by version, also of versions that are gone.
func (a *App) Counts() map[rollout.Version]Counts {
	a.mu.Lock()
	all := maps.Clone(a.counts)
	a.mu.Unlock()
	out := make(map[rollout.Version]Counts, len(all))
	for v, c := range all {
		out[v] = Counts{
			Requests: c.requests.Load(), Status5xx: c.status5xx.Load(), Errors: c.errors.Load(), Gone: c.gone.Load(),
			Retried: c.retried.Load(), InFlight: int64(a.InFlight(v)), Latency: time.Duration(c.latency.Load()),
			Mirror: MirrorCounts{
				Sent: c.mirror.sent.Load(), Skipped: c.mirror.skipped.Load(), Status5xx: c.mirror.status5xx.Load(),
				Errors: c.mirror.errors.Load(), Differ: c.mirror.differ.Load(),
				Latency: time.Duration(c.mirror.latency.Load()), RealLatency: time.Duration(c.mirror.real.Load()),
			},
		}
	}
	return out
}
