package compare

import "math"

// slack is how many times stable's odds a bad request may have in the candidate and nobody calls it worse: real versions are never equal.
const slack = 1.3

// worse are the ways in which a candidate may be worse, as multiples of the slack. Nobody knows beforehand, so each is weighed alike.
var worse = [...]float64{2, 4, 8, 16, 64}

// against is the mean, over the ways to be worse, of the likelihood ratio of the bins. Of the bad requests of a bin, each is the candidate's
// with a probability that follows from its share of the requests and from how much worse it is; how many there were in all does
// not matter, so whatever befell both versions at once does not either.
func against(bins []Bin) float64 {
	size := perEvent(bins)
	var sums [len(worse)]float64
	for _, b := range bins {
		if b.Candidate.Bad+b.Stable.Bad == 0 {
			continue
		}
		share := b.share()
		equal := odds(slack, share)
		for i, times := range worse {
			p := odds(slack*times, share)
			sums[i] += (b.Candidate.Bad*math.Log(p/equal) + b.Stable.Bad*math.Log((1-p)/(1-equal))) / size
		}
	}
	return mean(sums[:])
}

// odds is the probability that a bad request is the candidate's, which has a share of all requests and is so many times worse.
func odds(times, share float64) float64 { return times * share / (times*share + 1 - share) }

// mean of numbers given by their logarithms, bounded so that it stays a number.
func mean(logs []float64) float64 {
	sum := 0.0
	for _, l := range logs {
		sum += math.Exp(min(l, most))
	}
	return sum / float64(len(logs))
}

// most is the logarithm of the strongest evidence that is told.
const most = 100

// withoutWorst leaves out the bin in which the candidate did worst. One bad moment is no bad version, wherever it lies.
func withoutWorst(bins []Bin) []Bin {
	at := -1
	for i, b := range bins {
		if b.Candidate.Bad > 0 && (at < 0 || b.Candidate.Share() > bins[at].Candidate.Share()) {
			at = i
		}
	}
	if at < 0 {
		return bins
	}
	return append(append(make([]Bin, 0, len(bins)), bins[:at]...), bins[at+1:]...)
}

// inFavour is the likelihood ratio of "as good as stable" to "worse than stable by the tolerance", for the candidate's own requests.
func inFavour(bins []Bin, tolerance float64) float64 {
	var stable, candidate Count
	for _, b := range bins {
		stable, candidate = stable.plus(b.Stable), candidate.plus(b.Candidate)
	}
	if candidate.Total == 0 {
		return 1
	}
	usual := (stable.Bad + 0.5) / (stable.Total + 1)
	bad := min(usual+tolerance, 1-1e-9)
	size := perEvent(bins)
	// Exactly as good as stable is one way to be good, and a quarter of the tolerance worse another.
	var logs [2]float64
	for i, extra := range []float64{0, tolerance / 4} {
		good := min(usual+extra, bad)
		logs[i] = (candidate.Bad*math.Log(good/bad) + (candidate.Total-candidate.Bad)*math.Log((1-good)/(1-bad))) / size
	}
	return mean(logs[:])
}
