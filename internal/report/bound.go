package report

import (
	"fmt"
	"math"
	"strconv"
)

// LossBound says what n requests of which k were lost prove of the true share of loss: with
// 95 % confidence it is at most share. For k = 0 that is the rule of three, 3/n; otherwise
// the one-sided Poisson limit. Both take losses as independent of each other; losses that
// come in bursts are rather shown by the gaps.
func LossBound(n, k int) (share float64, sentence string) {
	switch {
	case n == 0:
		return 1, "no request was sent, so nothing is proved"
	case k == 0:
		share = min(1, 3/float64(n))
		if n <= 3 {
			return share, fmt.Sprintf("0 of %s lost: too few to prove anything", Count(n))
		}
		return share, fmt.Sprintf("0 of %s lost: with 95 %% confidence fewer than 1 in %s are", Count(n), Count(n/3))
	}
	share = min(1, poissonLimit(k)/float64(n))
	return share, fmt.Sprintf("%s of %s lost (%s): with 95 %% confidence the true share is below %s",
		Count(k), Count(n), Percent(float64(k)/float64(n)), Percent(share))
}

// poissonLimit is the mean of which k or fewer events are seen in one case of twenty, by the
// cube approximation of the chi-square distribution. It is within 1 % for every k.
func poissonLimit(k int) float64 {
	const z = 1.6449 // 95 % of a normal distribution, one-sided
	m := float64(k + 1)
	return m * math.Pow(1-1/(9*m)+z/(3*math.Sqrt(m)), 3)
}

// Count writes a number for a reader: 48,211.
func Count(n int) string {
	s := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Percent writes a share (0 to 1) with two significant digits: 0.067 %.
func Percent(share float64) string {
	p := share * 100
	switch {
	case p == 0:
		return "0 %"
	case p >= 99.5:
		return "100 %"
	case p >= 10:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	}
	digits := max(0, 1-int(math.Floor(math.Log10(p))))
	return strconv.FormatFloat(p, 'f', digits, 64) + " %"
}
