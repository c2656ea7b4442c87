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
	p := Preview{App: s.app.Name, Stable: s.state.Stable, Wanted: v, Replicas: s.book.Replicas, Plan: s.app.Plan, Steps: []rollout.PlannedStep{}}
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
	p.Steps = s.plan().Preview(p.Stable, v, p.Replicas)
	most := 0
	for _, step := range p.Steps {
		most = max(most, step.Stable+step.Candidate)
	}
	if len(s.app.Helpers) > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("Helpers beside each process: %d.", len(s.app.Helpers)))
	}
	p.Notes = append(p.Notes, fmt.Sprintf("Processes at once, at most: %d.", most))
	return p, nil
}
