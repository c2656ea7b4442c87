package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"gapless.dev/gapless/internal/gate"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

// outOf counts the looks in a row that were out of bounds. It is what must be remembered.
type outOf struct {
	Bounds int `json:"bounds"`
}

// bounds judges the value of a query.
func (p *Prometheus) bounds(q gate.Question) func(context.Context) (rollout.Verdict, error) {
	var out outOf
	if err := json.Unmarshal([]byte(q.Memory), &out); err != nil {
		out = outOf{}
	}
	return func(ctx context.Context) (rollout.Verdict, error) {
		s := q.Subject()
		query := spec.Fill(p.spec.Query, values(s, s.Candidate))
		got, err := p.value(ctx, query)
		if err != nil {
			return rollout.Verdict{}, err
		}
		if len(got) == 0 {
			return rollout.Verdict{Outcome: rollout.Wait, Reason: "Prometheus has no data for the query", Detail: query, Memory: remember(out)}, nil
		}
		worst, inside := p.worst(got)
		v := rollout.Verdict{Outcome: rollout.Pass, Reason: "the value is " + p.within(), Detail: fmt.Sprintf("the value is %.4g", worst), Numbers: map[string]float64{"value": worst}}
		if inside {
			out.Bounds = 0
		} else if out.Bounds++; out.Bounds < p.spec.Failures {
			v.Outcome, v.Reason = rollout.Wait, "the value is not "+p.within()
		} else {
			v.Outcome, v.Reason = rollout.Fail, fmt.Sprintf("the value is %.4g, not %s, in %d looks in a row", worst, p.within(), out.Bounds)
		}
		v.Memory = remember(out)
		return v, nil
	}
}

func remember(v any) string {
	text, _ := json.Marshal(v) // numbers can be encoded
	return string(text)
}

// value is the newest value of each series of a query, or all of the time that is looked back over. What is no number is no data.
func (p *Prometheus) value(ctx context.Context, query string) ([]float64, error) {
	now := p.Now()
	var all []float64
	add := func(v model.SampleValue) {
		if !math.IsNaN(float64(v)) {
			all = append(all, float64(v))
		}
	}
	var got model.Value
	var err error
	if p.spec.Over > 0 {
		got, _, err = p.api.QueryRange(ctx, query, promv1.Range{Start: now.Add(-p.spec.Over), End: now, Step: p.spec.Every})
	} else {
		got, _, err = p.api.Query(ctx, query, now)
	}
	if err != nil {
		return nil, err
	}
	switch got := got.(type) {
	case model.Vector:
		for _, s := range got {
			add(s.Value)
		}
	case *model.Scalar:
		add(got.Value)
	case model.Matrix:
		for _, s := range got {
			for _, v := range s.Values {
				add(v.Value)
			}
		}
	default:
		return nil, fmt.Errorf("the query gives a %s, and no number", got.Type())
	}
	return all, nil
}

// worst is the value that lies furthest outside of the bounds, or else the one nearest to them, and whether it is inside.
func (p *Prometheus) worst(all []float64) (worst float64, inside bool) {
	off := math.Inf(-1)
	for _, v := range all {
		o := math.Inf(-1)
		if p.spec.Max != nil {
			o = max(o, v-*p.spec.Max)
		}
		if p.spec.Min != nil {
			o = max(o, *p.spec.Min-v)
		}
		if o > off || math.IsInf(off, -1) {
			off, worst = o, v
		}
	}
	return worst, off <= 0
}

// within says the bounds in words.
func (p *Prometheus) within() string {
	switch {
	case p.spec.Min == nil:
		return fmt.Sprintf("at most %g", *p.spec.Max)
	case p.spec.Max == nil:
		return fmt.Sprintf("at least %g", *p.spec.Min)
	}
	return fmt.Sprintf("from %g to %g", *p.spec.Min, *p.spec.Max)
}
