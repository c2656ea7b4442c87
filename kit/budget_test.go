package kit

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestBudget_IsSplitByTheContractsTable(t *testing.T) {
	with := func(change func(*Budget)) Budget {
		b := DefaultBudget()
		change(&b)
		return b
	}
	tests := map[string]struct {
		reason string
		budget Budget
		want   Split
	}{
		"default": {
			"an unset pod has 30 s", DefaultBudget(),
			Split{Drain: 5 * time.Second, DrainMax: 15 * time.Second, InFlight: 20 * time.Second, Close: 3 * time.Second, Total: 28 * time.Second},
		},
		"gateway": {
			"an ingress controller is slower to hear", with(func(b *Budget) { b.Grace, b.Drain = 40*time.Second, 15*time.Second }),
			Split{Drain: 15 * time.Second, DrainMax: 25 * time.Second, InFlight: 20 * time.Second, Close: 3 * time.Second, Total: 38 * time.Second},
		},
		"preStop shorter than the drain": {
			"what was slept is not drained again", with(func(b *Budget) { b.PreStop = 2 * time.Second }),
			Split{Drain: 3 * time.Second, DrainMax: 13 * time.Second, InFlight: 20 * time.Second, Close: 3 * time.Second, Total: 26 * time.Second},
		},
		"preStop as long as the drain": {
			"2 s are left to announce Connection: close", with(func(b *Budget) { b.PreStop = 5 * time.Second }),
			Split{Drain: 2 * time.Second, DrainMax: 11 * time.Second, InFlight: 18 * time.Second, Close: 3 * time.Second, Total: 23 * time.Second},
		},
		"a drain below what announcing takes": {
			"is what was asked for", with(func(b *Budget) { b.Drain, b.PreStop = time.Second, 5*time.Second }),
			Split{Drain: time.Second, DrainMax: 10500 * time.Millisecond, InFlight: 19 * time.Second, Close: 3 * time.Second, Total: 23 * time.Second},
		},
		"no drain": {
			"is allowed", with(func(b *Budget) { b.Drain = 0 }),
			Split{Drain: 0, DrainMax: 12500 * time.Millisecond, InFlight: 25 * time.Second, Close: 3 * time.Second, Total: 28 * time.Second},
		},
		"just enough": {
			"1 s for requests in flight", with(func(b *Budget) { b.Grace = 11 * time.Second }),
			Split{Drain: 5 * time.Second, DrainMax: 5500 * time.Millisecond, InFlight: time.Second, Close: 3 * time.Second, Total: 9 * time.Second},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := test.budget.Split()
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("%s:\n got %+v\nwant %+v", test.reason, got, test.want)
			}
		})
	}
}

func TestBudget_RefusesWhatCannotWorkAndSaysWhatWould(t *testing.T) {
	tests := map[string]struct {
		budget Budget
		want   string
	}{
		"zero value":    {Budget{}, "raise grace to at least 1s"},
		"grace too low": {Budget{Grace: 10 * time.Second, Drain: 5 * time.Second, Close: 3 * time.Second, Margin: 2 * time.Second}, "leaves 0s for requests in flight; raise grace to at least 11s"},
		"preStop eats":  {Budget{Grace: 30 * time.Second, PreStop: 25 * time.Second, Drain: 5 * time.Second, Close: 3 * time.Second, Margin: 2 * time.Second}, "raise grace to at least 33s"},
		"negative":      {Budget{Grace: 30 * time.Second, Drain: -time.Second}, "drain is -1s; it cannot be negative"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := test.budget.Split()
			if !errors.Is(err, ErrBudget) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want it to say %q", err, test.want)
			}
		})
	}
}

func TestBudget_DrainEndsWhenItIsOverAndQuiet(t *testing.T) {
	split, err := DefaultBudget().Split()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		elapsed, quiet time.Duration
		want           bool
	}{
		"too early":                 {4 * time.Second, 4 * time.Second, false},
		"over and quiet":            {5 * time.Second, time.Second, true},
		"over, still arriving":      {5 * time.Second, 900 * time.Millisecond, false},
		"long over, still arriving": {14 * time.Second, 10 * time.Millisecond, false},
		"at its maximum":            {15 * time.Second, 10 * time.Millisecond, true},
	}
	for name, test := range tests {
		if got := split.drained(test.elapsed, test.quiet); got != test.want {
			t.Errorf("%s: drained(%v, %v) = %v", name, test.elapsed, test.quiet, got)
		}
	}
}

func TestBudget_GoodbyesGrowToAllByHalfTheDrain(t *testing.T) {
	split := Split{Drain: 10 * time.Second}
	for elapsed, want := range map[time.Duration]float64{
		0: 0, time.Second: 0.2, 4 * time.Second: 0.8, 5 * time.Second: 1, 20 * time.Second: 1,
	} {
		if got := split.closeShare(elapsed); got != want {
			t.Errorf("closeShare(%v) = %v, want %v", elapsed, got, want)
		}
	}
	if got := (Split{}).closeShare(0); got != 1 {
		t.Errorf("without a drain every response is a goodbye, got share %v", got)
	}
}

func TestEnv_WinsOverOptionsAndTakesSeconds(t *testing.T) {
	t.Setenv("GAPLESS_GRACE", "45")
	t.Setenv("GAPLESS_DRAIN", "7s")
	t.Setenv("GAPLESS_VERSION", "2.0.0")
	s := New(WithVersion("1.0.0"), WithBudget(Budget{Grace: 20 * time.Second, Close: time.Second}))
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	want := Budget{Grace: 45 * time.Second, Drain: 7 * time.Second, Close: time.Second}
	if s.budget != want || s.version != "2.0.0" {
		t.Errorf("got %+v version %s, want %+v version 2.0.0", s.budget, s.version, want)
	}
}

func TestEnv_NamesTheVariableAndTheFix(t *testing.T) {
	t.Setenv("GAPLESS_DRAIN", "soon")
	s := New()
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), `GAPLESS_DRAIN="soon" is no duration; write 30s or 30`) {
		t.Errorf("got %v", err)
	}
	if code := s.Run(t.Context()); code != exitFailed {
		t.Errorf("Run = %d, want %d and nothing started", code, exitFailed)
	}
}
