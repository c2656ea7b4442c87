package gate

import (
	"testing"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

func TestSees_ProvesAWeightByEnoughAnswersSinceItWasTold(t *testing.T) {
	told := time.Unix(1000, 0)
	for name, test := range map[string]struct {
		weights        rollout.Weights
		stable, second int
		before         int // answers of the candidate before it was told
		want           bool
	}{
		"too few":                 {rollout.Weights{"a": 90, "b": 10}, 50, 5, 0, false},
		"a tenth":                 {rollout.Weights{"a": 90, "b": 10}, 90, 10, 0, true},
		"none of a tenth":         {rollout.Weights{"a": 90, "b": 10}, 100, 0, 0, false},
		"a half instead":          {rollout.Weights{"a": 90, "b": 10}, 50, 50, 0, false},
		"all":                     {rollout.Weights{"b": 100}, 0, 60, 0, true},
		"all but one":             {rollout.Weights{"b": 100}, 1, 300, 0, false},
		"none any more":           {rollout.Weights{"a": 100, "b": 0}, 60, 0, 30, true},
		"what came before counts": {rollout.Weights{"a": 100}, 10, 0, 100, false},
	} {
		p := &Panel{}
		see := func(v rollout.Version, n int, at time.Time) {
			for range n {
				p.sights.add(Sighting{Version: v, Began: at})
			}
		}
		see("b", test.before, told.Add(-time.Second))
		see("a", test.stable, told.Add(time.Second))
		see("b", test.second, told.Add(time.Second))
		if got := p.Sees(rollout.Route{Weights: test.weights}, told); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
