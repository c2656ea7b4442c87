package report

import "strings"

// Sparkline shows which version answered over time in the given number of characters: 1 for
// the first version, 2 for the second and so on; where versions share the traffic they
// alternate in proportion. x is a stretch with losses, a dot one in which most were lost.
func (t Traffic) Sparkline(cells int) string {
	if len(t.Timeline) == 0 || cells <= 0 {
		return ""
	}
	cells = min(cells, len(t.Timeline))
	names := t.VersionNames()
	owed := make([]float64, len(names))
	var line strings.Builder
	for i := range cells {
		from, to := i*len(t.Timeline)/cells, (i+1)*len(t.Timeline)/cells
		line.WriteByte(mark(t.Timeline[from:to], names, owed))
	}
	return line.String()
}

// mark picks one character. owed carries what rounding to one version per character has
// kept from each, so that a share of a quarter shows as every fourth character.
func mark(buckets []Bucket, names []string, owed []float64) byte {
	answered := make([]float64, len(names))
	var sum, lost float64
	for _, b := range buckets {
		lost += float64(b.Lost)
		for i, name := range names {
			answered[i] += float64(b.Versions[name])
			sum += float64(b.Versions[name])
		}
	}
	switch {
	case sum+lost == 0:
		return ' '
	case lost > sum:
		return '.'
	}
	best := 0
	for i := range names {
		owed[i] += answered[i] / sum
		// A version that gave no answer here is never shown here.
		if answered[i] > 0 && (owed[i] > owed[best] || answered[best] == 0) {
			best = i
		}
	}
	owed[best]--
	if lost > 0 {
		return 'x'
	}
	return "123456789abcdefghijklmnopqrstuvw*"[min(best, 32)]
}
