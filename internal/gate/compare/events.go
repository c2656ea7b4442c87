package compare

import "math"

// perEvent is how many bad requests of the candidate make one event, 1 or more: a client that asks for the same broken thing twenty times,
// or a pause that makes fifty requests late, is one event. It is estimated from how unevenly the bad requests lie in
// time, at several scales, and to the safe side. In any case all bad requests of a bin are no fewer than one event.
func perEvent(bins []Bin) float64 {
	var all Count
	touched := 0.0
	for _, b := range bins {
		all = all.plus(b.Candidate)
		if b.Candidate.Bad > 0 {
			touched++
		}
	}
	if touched == 0 {
		return 1
	}
	atMost := max(1, all.Bad/touched)
	rate := all.Bad / all.Total
	if len(bins) < 2 {
		return atMost
	}
	size := 1.0
	for width := 1; width == 1 || len(bins)/width >= 3; width *= 2 {
		size = max(size, unevenness(bins, width, rate))
	}
	return min(size, atMost)
}

// unevenness is the variance of the candidate's bad requests between groups of bins, as a multiple of what single independent ones would
// have: an upper bound, the wider the fewer groups there are.
func unevenness(bins []Bin, width int, rate float64) float64 {
	groups := len(bins) / width
	sum := 0.0
	for g := range groups {
		var c Count
		for _, b := range bins[g*width : (g+1)*width] {
			c = c.plus(b.Candidate)
		}
		off := c.Bad - rate*c.Total
		sum += off * off / (rate * c.Total)
	}
	return sum / lowerChiSquare(float64(groups-1))
}

// lowerChiSquare is the value that a sum of so many squared standard normal numbers stays below one time in ten, by the approximation of
// Wilson and Hilferty.
func lowerChiSquare(degrees float64) float64 {
	const z = -1.2816 // the tenth part of the normal distribution lies below
	root := max(0.25, 1-2/(9*degrees)+z*math.Sqrt(2/(9*degrees)))
	return degrees * root * root * root
}
