package report

// Counts are what the data plane itself counted of a version in this revision. A probe's Traffic says what clients saw; these say
// what reached a version.
type Counts struct {
	// Requests that the version was sent. Status5xx were answered so by it, Errors not answered to the end.
	Requests  int64 `json:"requests"`
	Status5xx int64 `json:"status5xx,omitempty"`
	Errors    int64 `json:"errors,omitempty"`
	// Gone counts clients that left first, Retried refused connections whose request another instance answered. Neither is a loss.
	Gone    int64 `json:"gone,omitempty"`
	Retried int64 `json:"retried,omitempty"`
	// Latency is the mean, to the end of the answer.
	Latency Millis `json:"latencyMs,omitempty"`
	// Mirrored counts requests that were sent as copies, MirrorDiffers those whose status was another than the real answer's,
	// MirrorErrors those without an answer. MirrorLatency is the mean.
	Mirrored      int64  `json:"mirrored,omitempty"`
	MirrorDiffers int64  `json:"mirrorDiffers,omitempty"`
	MirrorErrors  int64  `json:"mirrorErrors,omitempty"`
	MirrorLatency Millis `json:"mirrorLatencyMs,omitempty"`
}
