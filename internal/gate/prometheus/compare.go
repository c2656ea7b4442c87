package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/compare"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

// longest is how far back is looked. Prometheus keeps everything that was counted, so all of it is read again at each look, and a restart
// loses nothing and counts nothing twice.
const longest = 20 * time.Minute

// found is the one thing that must be remembered: that the candidate was good at some look.
type found struct {
	Good bool `json:"good,omitempty"`
}

// comparison judges the counters of both versions.
func (p *Prometheus) comparison(q gate.Question) func(context.Context) (rollout.Verdict, error) {
	var before found
	if err := json.Unmarshal([]byte(q.Memory), &before); err != nil {
		before = found{}
	}
	return func(ctx context.Context) (rollout.Verdict, error) {
		c, err := p.count(ctx, q)
		if err != nil {
			return rollout.Verdict{}, err
		}
		f := compare.Judge(compare.Rule{Tolerance: p.spec.Tolerance}, c.bins())
		before.Good = before.Good || f.Verdict == compare.Good
		v := verdict(f, before.Good)
		if missing := c.missing(); missing != "" && v.Outcome == rollout.Wait {
			v.Reason = missing
		}
		v.Memory = remember(before)
		return v, nil
	}
}

func verdict(f compare.Finding, good bool) rollout.Verdict {
	v := rollout.Verdict{
		Outcome: rollout.Wait, Reason: "not enough evidence yet", Detail: f.String(),
		Numbers: map[string]float64{
			"stable_total": f.Stable.Total, "stable_bad": f.Stable.Bad, "candidate_total": f.Candidate.Total, "candidate_bad": f.Candidate.Bad,
			"bins": float64(f.Bins), "evidence_against": f.Against, "evidence_for": f.For,
		},
	}
	switch {
	case f.Verdict == compare.Worse:
		v.Outcome, v.Reason = rollout.Fail, f.String()
	case good:
		v.Outcome, v.Reason = rollout.Pass, "the candidate is not worse than stable"
	}
	return v
}

// substep is the grid on which counters are read: a bin may begin at any of five places, so that it ends soon after a scrape.
func substep(every time.Duration) time.Duration { return max(time.Second, every/5) }

// counters are what both versions counted in each interval of the grid.
type counters struct {
	stable, candidate [2][]float64 // total, bad
	per               int          // intervals a bin
}

// count reads the counters of both versions since the question was put.
func (p *Prometheus) count(ctx context.Context, q gate.Question) (counters, error) {
	step, now := substep(p.spec.Every), p.Now()
	begin := q.Since.Add(-p.spec.Every)
	if early := now.Add(-longest); begin.Before(early) {
		begin = early
	}
	grid := promv1.Range{Start: begin.Truncate(step), End: now.Truncate(step), Step: step}
	intervals := int(grid.End.Sub(grid.Start) / step)
	c := counters{per: int(p.spec.Every / step)}
	if intervals < 1 {
		return c, nil
	}
	s := q.Subject()
	sides := []struct {
		into *[2][]float64
		side gate.Side
		born bool // its pods are of this rollout: what their counters hold was counted in it
	}{{&c.stable, s.Stable, false}, {&c.candidate, s.Candidate, true}}
	for _, side := range sides {
		first := -1
		for i, query := range []string{p.spec.Total, p.spec.Bad} {
			text := spec.Fill(query, values(s, side.side))
			got, _, err := p.api.QueryRange(ctx, text, grid)
			if err != nil {
				return c, err
			}
			matrix, ok := got.(model.Matrix)
			if !ok {
				return c, fmt.Errorf("the query gives a %s, and no counters", got.Type())
			}
			if i == 0 {
				first = earliest(matrix, grid)
			}
			side.into[i] = increments(matrix, grid, intervals, func(at int) bool { return side.born || first >= 0 && at > first })
		}
	}
	if warm := int((q.Since.Add(p.spec.Warmup).Sub(grid.Start) + step - 1) / step); p.spec.Warmup > 0 {
		for i := range min(warm, intervals) {
			c.candidate[0][i], c.candidate[1][i] = 0, 0
		}
	}
	return c, nil
}

// earliest is the first place of the grid at which any series stands; -1: there is none.
func earliest(m model.Matrix, grid promv1.Range) int {
	first := -1
	for _, s := range m {
		if len(s.Values) > 0 {
			if at := place(s.Values[0], grid); first < 0 || at < first {
				first = at
			}
		}
	}
	return first
}

func place(s model.SamplePair, grid promv1.Range) int {
	return int(s.Timestamp.Time().Sub(grid.Start) / grid.Step)
}

// increments are by how much all series grew in each interval of the grid. A counter that fell began anew at 0. One that appears on the way
// began at 0 if it is newborn; else nobody knows, and it counts from then on.
func increments(m model.Matrix, grid promv1.Range, intervals int, newborn func(at int) bool) []float64 {
	sums := make([]float64, intervals)
	for _, s := range m {
		last, known := 0.0, false
		for _, v := range s.Values {
			at, now := place(v, grid), float64(v.Value)
			grew := now - last
			switch {
			case !known && (at == 0 || !newborn(at)):
				grew = 0
			case !known || grew < 0:
				grew = now
			}
			if at > 0 && at <= intervals {
				sums[at-1] += grew
			}
			last, known = now, true
		}
	}
	return sums
}

// bins are the counts in whole bins, of which each ends where the candidate's counters move most often: right after a scrape.
func (c counters) bins() []compare.Bin {
	if len(c.candidate[0]) == 0 {
		return nil
	}
	phase, moves := 0, -1
	for f := range c.per {
		n := 0
		for i := f; i < len(c.candidate[0]); i += c.per {
			if c.candidate[0][i] > 0 {
				n++
			}
		}
		if n > moves {
			phase, moves = f, n
		}
	}
	var all []compare.Bin
	var b compare.Bin
	for i := range c.candidate[0] {
		b.Stable.Total += c.stable[0][i]
		b.Stable.Bad += min(c.stable[1][i], c.stable[0][i])
		b.Candidate.Total += c.candidate[0][i]
		b.Candidate.Bad += min(c.candidate[1][i], c.candidate[0][i])
		if i%c.per == phase {
			all, b = append(all, b), compare.Bin{}
		}
	}
	return all
}

// missing says of which version nothing is known.
func (c counters) missing() string {
	sum := func(all []float64) (s float64) {
		for _, v := range all {
			s += v
		}
		return s
	}
	stable, candidate := sum(c.stable[0]), sum(c.candidate[0])
	switch {
	case stable == 0 && candidate == 0:
		return "Prometheus has no data of either version"
	case candidate == 0:
		return "Prometheus has no data of the candidate"
	case stable == 0:
		return "Prometheus has no data of stable"
	}
	return ""
}
