package demo

import (
	"io"

	evidence "gapless.dev/gapless/internal/report"
)

// writeHTML writes one page: a table of all runs, then the evidence of each with its timeline.
func writeHTML(w io.Writer, results []Result) error {
	var all []evidence.Report
	for _, r := range results {
		one := r.Report
		one.Traffic = &r.Traffic
		one.Label = r.Strategy + ", " + r.Service
		if r.Strategy == string(direct) {
			one.Label = "stopped directly, " + r.Service
			one.Notes = []string{"The process was asked to stop and the next one was started in its place, without Gapless."}
		}
		if one.Started.IsZero() {
			one.Started, one.At = r.Traffic.Started, r.Traffic.Started.Add(r.Traffic.Elapsed.Duration())
		}
		all = append(all, one)
	}
	return evidence.HTML(w, all...)
}
