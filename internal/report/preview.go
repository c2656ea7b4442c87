package report

import "gapless.dev/gapless/internal/rollout"

// A Preview tells what a deploy would do. Nothing was started for it.
type Preview struct {
	App string `json:"app"`
	// On is where the app runs. Nil where nobody had to choose.
	On *Place `json:"on,omitempty"`
	// Stable serves now. Wanted is the version that the preview is of.
	Stable   rollout.Version `json:"stable"`
	Wanted   rollout.Version `json:"wanted"`
	Replicas int             `json:"replicas"`
	// Services that lead to the app, on a cluster.
	Services []string     `json:"services,omitempty"`
	Plan     rollout.Plan `json:"plan"`
	// Steps in the order in which they would come.
	Steps []rollout.PlannedStep `json:"steps"`
	// Notes are what a person should know before: each is a whole sentence.
	Notes []string `json:"notes,omitempty"`
	// Problem is why a deploy of this version would be refused; empty when it would not.
	Problem string `json:"problem,omitempty"`
}
