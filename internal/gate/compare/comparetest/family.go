// Package comparetest draws pairs of versions: healthy ones in all the ways in which healthy versions differ for a while, and ones that
// are worse. Tests and the benchmark play them.
package comparetest

import (
	"math"
	"math/rand/v2"

	"gapless.dev/gapless/internal/gate/compare"
)

// A Family is a kind of pair. A pair follows from the family and a seed.
type Family struct {
	Name string
	// Rate is requests a second of both versions, Share the part of them that is the candidate's, and Seconds the width of a bin.
	Rate, Share, Seconds float64
	// Ramp has the candidate's share come in over six bins.
	Ramp bool
	// Law makes the law of one pair.
	Law func(*rand.Rand, Family) Law
}

// A Law tells for each bin, in order, what probability a request has to be bad in either version, and how many requests come bad beyond that.
type Law func(bin int) Moment

// A Moment is one bin of a Law.
type Moment struct{ Stable, Candidate, StableExtra, CandidateExtra float64 }

// Pair draws the bins of a pair.
func (f Family) Pair(seed uint64, bins int) []compare.Bin {
	r := rand.New(rand.NewPCG(seed, 0x9a7e5))
	law := f.Law(r, f)
	out := make([]compare.Bin, bins)
	for i := range out {
		share := f.Share
		if f.Ramp {
			share *= min(1, float64(i+1)/6)
		}
		m := law(i)
		out[i] = compare.Bin{
			Stable:    count(r, f.Rate*f.Seconds*(1-share), m.Stable, m.StableExtra),
			Candidate: count(r, f.Rate*f.Seconds*share, m.Candidate, m.CandidateExtra),
		}
	}
	return out
}

func count(r *rand.Rand, mean, p, extra float64) compare.Count {
	total := poisson(r, mean)
	return compare.Count{Total: total, Bad: min(total, binomial(r, total, min(1, p))+extra)}
}

// Found plays a pair and tells in which bin it was first called worse, from 1; 0: never.
func (f Family) Found(seed uint64, bins int) int {
	pair := f.Pair(seed, bins)
	for n := 1; n <= bins; n++ {
		if compare.Judge(compare.Rule{}, pair[:n]).Verdict == compare.Worse {
			return n
		}
	}
	return 0
}

// Even has both versions answer badly with fixed probabilities.
func Even(stable, candidate float64) func(*rand.Rand, Family) Law {
	return func(*rand.Rand, Family) Law {
		return func(int) Moment { return Moment{Stable: stable, Candidate: candidate} }
	}
}

// Later is Even(stable, stable) until a second, and Even(stable, candidate) from then on.
func Later(stable, candidate, from float64) func(*rand.Rand, Family) Law {
	return func(_ *rand.Rand, f Family) Law {
		return func(bin int) Moment {
			m := Moment{Stable: stable, Candidate: stable}
			if float64(bin)*f.Seconds >= from {
				m.Candidate = candidate
			}
			return m
		}
	}
}

// Together has what both depend on go bad now and then: a probability low at most times, high in spells.
func Together(low, high, begins, ends float64) func(*rand.Rand, Family) Law {
	return func(r *rand.Rand, _ Family) Law {
		spell := false
		return func(int) Moment {
			if spell {
				spell = r.Float64() > ends
			} else {
				spell = r.Float64() < begins
			}
			p := low
			if spell {
				p = high
			}
			return Moment{Stable: p, Candidate: p}
		}
	}
}

// Bursts come on average every so many seconds, with a mean size, and hit one of the two versions, as likely as its share. Three of ten lie
// across the border of two bins.
func Bursts(base, every, size float64) func(*rand.Rand, Family) Law {
	return func(r *rand.Rand, f Family) Law {
		var next Moment
		return func(int) Moment {
			m := next
			m.Stable, m.Candidate, next = base, base, Moment{}
			for range int(poisson(r, f.Seconds/every)) {
				all := 1 + math.Floor(math.Log(r.Float64())/math.Log(1-1/size))
				now := all
				if r.Float64() < 0.3 {
					now = math.Floor(all * r.Float64())
				}
				if r.Float64() < f.Share {
					m.CandidateExtra += now
					next.CandidateExtra += all - now
				} else {
					m.StableExtra += now
					next.StableExtra += all - now
				}
			}
			return m
		}
	}
}

// Wandering has each pod's probability wander by itself: its logarithm is normal, with a deviation, and forgets itself over some seconds.
func Wandering(mean, deviation, seconds float64, stable, candidate int) func(*rand.Rand, Family) Law {
	return func(r *rand.Rand, f Family) Law {
		keep := math.Exp(-f.Seconds / seconds)
		s, c := make([]float64, stable), make([]float64, candidate)
		for i := range s {
			s[i] = deviation * r.NormFloat64()
		}
		for i := range c {
			c[i] = deviation * r.NormFloat64()
		}
		step := func(pods []float64) float64 {
			sum := 0.0
			for i := range pods {
				pods[i] = keep*pods[i] + deviation*math.Sqrt(1-keep*keep)*r.NormFloat64()
				sum += math.Exp(pods[i] - deviation*deviation/2)
			}
			return mean * sum / float64(len(pods))
		}
		return func(int) Moment { return Moment{Stable: step(s), Candidate: step(c)} }
	}
}

// SlowStart has the candidate begin badly and mend within some seconds.
func SlowStart(base, extra, seconds float64) func(*rand.Rand, Family) Law {
	return func(_ *rand.Rand, f Family) Law {
		return func(bin int) Moment {
			return Moment{Stable: base, Candidate: base + extra*math.Exp(-float64(bin)*f.Seconds/seconds)}
		}
	}
}

func poisson(r *rand.Rand, mean float64) float64 {
	switch {
	case mean <= 0:
		return 0
	case mean > 30:
		return max(0, math.Round(mean+math.Sqrt(mean)*r.NormFloat64()))
	}
	limit, n, p := math.Exp(-mean), 0.0, r.Float64()
	for p > limit {
		n++
		p *= r.Float64()
	}
	return n
}

func binomial(r *rand.Rand, n, p float64) float64 {
	if n*p > 30 && n*(1-p) > 30 {
		return min(n, max(0, math.Round(n*p+math.Sqrt(n*p*(1-p))*r.NormFloat64())))
	}
	if n > 200 && p < 0.1 {
		return min(n, poisson(r, n*p))
	}
	hits := 0.0
	for range int(n) {
		if r.Float64() < p {
			hits++
		}
	}
	return hits
}
