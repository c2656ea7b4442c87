// Package compare judges a candidate by stable at the same time, as often as anybody looks.
//
// Both versions are counted in the same stretches of time, the bins: how many requests each had and how many of them were bad (failed,
// or slower than a threshold). What befalls both at once, such as a slow database, cancels out within a bin. What comes in bursts is
// counted as the few events that it is. The evidence is a likelihood ratio that is weighed anew at each look; a healthy candidate
// reaches the bound at any look at all once in a hundred rollouts at most. docs/guide/comparing.md explains it, and bench/gates measures it.
//
// The package is pure.
package compare

import "fmt"

// A Count is what was counted of one version.
type Count struct {
	// Total counts requests, and Bad those of them that speak against the version.
	Total float64 `json:"total"`
	Bad   float64 `json:"bad"`
}

// Share of the requests that were bad; 0 where there were none.
func (c Count) Share() float64 {
	if c.Total <= 0 {
		return 0
	}
	return c.Bad / c.Total
}

func (c Count) plus(o Count) Count { return Count{Total: c.Total + o.Total, Bad: c.Bad + o.Bad} }

// A Bin is what was counted of both versions in one stretch of time.
type Bin struct {
	Stable    Count `json:"stable"`
	Candidate Count `json:"candidate"`
}

// both tells whether the bin compares anything: each version had a request.
func (b Bin) both() bool { return b.Stable.Total > 0 && b.Candidate.Total > 0 }

// share of the requests that were the candidate's.
func (b Bin) share() float64 {
	return b.Candidate.Total / (b.Candidate.Total + b.Stable.Total)
}

// A Rule says when a candidate is worse, and when it is good enough. The zero Rule has the defaults.
type Rule struct {
	// FalseAlarm is how often a healthy candidate may be called worse, over all looks of a rollout. Default 0.01.
	FalseAlarm float64
	// Tolerance is by how much the candidate's share of bad requests may be above stable's, 0 to 1, and the candidate still be good.
	// The smaller, the more requests it takes to show it. Default 0.01.
	Tolerance float64
	// Doubt is how often a candidate that is worse than stable by the tolerance may be called good. Default 0.05.
	Doubt float64
}

func (r Rule) withDefaults() Rule {
	if r.FalseAlarm <= 0 {
		r.FalseAlarm = 0.01
	}
	if r.Tolerance <= 0 {
		r.Tolerance = 0.01
	}
	if r.Doubt <= 0 {
		r.Doubt = 0.05
	}
	return r
}

// A Verdict is what the evidence says.
type Verdict string

// The verdicts.
const (
	// Open: there is not enough evidence for either yet.
	Open Verdict = "open"
	// Worse: the candidate is worse than stable.
	Worse Verdict = "worse"
	// Good: the candidate is not worse than stable by more than the tolerance.
	Good Verdict = "good"
)

// A Finding is a verdict and what it rests on.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	// Bins counts those in which both versions had requests, and Stable and Candidate sum them up.
	Bins      int   `json:"bins"`
	Stable    Count `json:"stable"`
	Candidate Count `json:"candidate"`
	// Against tells how many times better "worse" explains the bins than "not worse", and AgainstNeeded from where on that is believed.
	Against       float64 `json:"against"`
	AgainstNeeded float64 `json:"againstNeeded"`
	// For tells how many times better "no worse than stable" explains them than "worse by the tolerance", and ForNeeded the same for it.
	For       float64 `json:"for"`
	ForNeeded float64 `json:"forNeeded"`
}

// fewest is how many bins it takes to call a candidate good: one or two show a moment, not a service.
const fewest = 3

// Judge weighs all bins of a question, oldest first. It may be asked after each new bin.
func Judge(rule Rule, bins []Bin) Finding {
	rule = rule.withDefaults()
	f := Finding{Verdict: Open, AgainstNeeded: 1 / rule.FalseAlarm, ForNeeded: 1 / rule.Doubt, Against: 1, For: 1}
	var compared []Bin
	for _, b := range bins {
		if b.both() {
			compared = append(compared, b)
			f.Stable, f.Candidate = f.Stable.plus(b.Stable), f.Candidate.plus(b.Candidate)
		}
	}
	f.Bins = len(compared)
	f.Against = against(withoutWorst(compared))
	f.For = inFavour(compared, rule.Tolerance)
	switch {
	case f.Against >= f.AgainstNeeded:
		f.Verdict = Worse
	case f.For >= f.ForNeeded && f.Bins >= fewest:
		f.Verdict = Good
	}
	return f
}

// String is what was counted in one sentence, for people.
func (f Finding) String() string {
	if f.Candidate.Total == 0 || f.Stable.Total == 0 {
		return "the two versions had no requests at the same time"
	}
	return fmt.Sprintf("%s of the candidate's requests against %s of stable's are bad", f.Candidate, f.Stable)
}

// String is the count for people: "12 of 1500 (0.80 %)".
func (c Count) String() string {
	return fmt.Sprintf("%.0f of %.0f (%.2f %%)", c.Bad, c.Total, 100*c.Share())
}
