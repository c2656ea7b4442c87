package local

import (
	"fmt"

	"gapless.dev/gapless/internal/rollout"
)

// preview tells what a deploy of v would do, without doing any of it.
func (s *service) preview(v rollout.Version) (Preview, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v == "" {
		v = s.book.Wanted
	}
	p := Preview{App: s.app.Name, Stable: s.state.Stable, Wanted: v, Replicas: s.book.Replicas, Plan: s.app.Plan, Stages: []Stage{}}
	p.Problem = s.missing(templateOf(s.app), v)
	if v == s.state.Stable {
		p.Notes = append(p.Notes, fmt.Sprintf("%s serves already: nothing would change.", v))
		return p, nil
	}
	if s.state.Candidate != "" && s.state.Candidate != v && rollout.Active(s.state.Phase) {
		p.Notes = append(p.Notes, fmt.Sprintf("A rollout to %s is under way: %s would take its place, after all traffic is back on %s.", s.state.Candidate, v, s.state.Stable))
	}
	if s.state.Rejected == v {
		p.Notes = append(p.Notes, fmt.Sprintf("%s was aborted before: it is held until gapless retry %s.", v, s.app.Name))
	}
	p.Stages = stages(p)
	most := 0
	for _, st := range p.Stages {
		most = max(most, st.Stable+st.Wanted)
	}
	if h := len(s.app.Helpers); h > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("Each process has %d helpers beside it.", h))
	}
	p.Notes = append(p.Notes, fmt.Sprintf("At most %d processes run at once.", most))
	return p, nil
}

func stages(p Preview) []Stage {
	n := p.Replicas
	if p.Stable == "" {
		return []Stage{
			{Phase: rollout.Preparing, Wanted: n, Says: fmt.Sprintf("%d processes of %s start; there is no version before it", n, p.Wanted)},
			{Phase: rollout.Promoting, Weight: 100, Wanted: n, Says: fmt.Sprintf("%s gets all traffic", p.Wanted)},
		}
	}
	last := Stage{Phase: rollout.Finishing, Weight: 100, Wanted: n, Says: fmt.Sprintf("%s finishes what it has and stops", p.Stable)}
	switch p.Plan.Strategy {
	case rollout.Recreate:
		return []Stage{
			{Phase: rollout.Preparing, Says: fmt.Sprintf("%s stops: nothing answers from here on", p.Stable)},
			{Phase: rollout.Promoting, Weight: 100, Wanted: n, Says: fmt.Sprintf("%d processes of %s start and get all traffic", n, p.Wanted)},
		}
	case rollout.BlueGreen:
		all := []Stage{
			{Phase: rollout.Preparing, Stable: n, Wanted: n, Manual: p.Plan.Manual, Says: fmt.Sprintf("%d processes of %s start beside %s, without traffic", n, p.Wanted, p.Stable)},
			{Phase: rollout.Promoting, Weight: 100, Stable: n, Wanted: n, Pause: p.Plan.HoldBack, Says: fmt.Sprintf("all traffic goes to %s at once", p.Wanted)},
		}
		return append(all, last)
	case rollout.Canary:
		var all []Stage
		for _, step := range p.Plan.Steps {
			want := max(1, (step.Weight*n+99)/100)
			says := fmt.Sprintf("%d %% of the traffic to %s, carried by %d processes", step.Weight, p.Wanted, want)
			if step.Match != nil {
				says += "; requests that match go there too"
			}
			if step.Mirror > 0 {
				says += fmt.Sprintf("; %d %% of the requests are copied to it and the answers dropped", step.Mirror)
			}
			all = append(all, Stage{Phase: rollout.Shifting, Weight: step.Weight, Stable: n, Wanted: want, Pause: step.Pause, Manual: step.Manual, Says: says})
		}
		all = append(all, Stage{Phase: rollout.Promoting, Weight: 100, Stable: n, Wanted: n, Says: fmt.Sprintf("all traffic to %s, with all %d processes", p.Wanted, n)})
		return append(all, last)
	}
	surge, down := p.Plan.MaxSurge, p.Plan.MaxUnavailable
	var all []Stage
	for have := 0; have < n; {
		have = min(n, have+max(1, surge+down))
		all = append(all, Stage{
			Phase: rollout.Shifting, Weight: have * 100 / max(1, n), Stable: max(0, n-have), Wanted: have,
			Says: fmt.Sprintf("%d of %d processes are of %s", have, n, p.Wanted),
		})
	}
	return append(all, last)
}
