package kube

import (
	"context"
	"fmt"
	"time"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
)

// A shadow is what the data plane had counted when a step that mirrors came to stand.
type shadow struct {
	step          string // of the revision; empty: none mirrors
	theirs, twins traffic.Counts
}

// shadowed says, when a step that mirrors is over, how the copies were answered beside the requests that they are copies of. It says
// nothing where the data plane does not tell what it counts.
func (a *App) shadowed(ctx context.Context, s rollout.State) string {
	w := a.seen.weighted
	step := fmt.Sprintf("%d/%d", s.Revision, s.Step)
	mirrors := w != nil && s.Route.Mirror > 0
	switch {
	case mirrors && a.shadow.step == step, !mirrors && a.shadow.step == "", mirrors && s.ConvergedAt.IsZero():
		return ""
	}
	theirs, twins := traffic.Counts{}, traffic.Counts{}
	err := traffic.ErrNotCounted
	if w != nil {
		theirs, twins, err = w.Count(ctx)
	}
	was := a.shadow
	a.shadow = shadow{}
	if err != nil {
		return ""
	}
	if mirrors {
		a.shadow = shadow{step, theirs, twins}
	}
	if was.step == "" {
		return ""
	}
	theirs, twins = theirs.Since(was.theirs), twins.Since(was.twins)
	names := a.names(a.seen)
	return fmt.Sprintf("Shadow, by the counts of the data plane: of %d requests %s answered %d with 5xx, in %s on average; of %d copies %s answered %d with 5xx, in %s.",
		theirs.Requests, names[string(s.Stable)], theirs.Status5xx, theirs.Mean().Round(time.Millisecond/10),
		twins.Requests, names[string(s.Candidate)], twins.Status5xx, twins.Mean().Round(time.Millisecond/10))
}
