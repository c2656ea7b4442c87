package compare

import (
	"slices"
	"time"
)

// mostBins is how many bins a Record keeps. Past it two neighbours become one.
const mostBins = 120

// A Record keeps the bins of a question, in as little room as a status has. Bins lie at whole multiples of its width, so that two who count the
// same find the same bins.
type Record struct {
	// Width of a bin, and First the number of the first one: it begins at First times Width after the Unix epoch.
	Width time.Duration `json:"width"`
	First int64         `json:"first"`
	// Bins hold, each, stable's total and bad and the candidate's total and bad.
	Bins [][4]float64 `json:"bins,omitempty"`
}

// Add counts requests that were due at a time. What lies before the first bin is not counted: it was over when the record began.
func (r *Record) Add(at time.Time, b Bin) {
	n := r.number(at)
	if len(r.Bins) == 0 {
		r.First = n
	}
	if n < r.First {
		return
	}
	for n-r.First >= mostBins {
		r.widen()
		n = r.number(at)
	}
	for int64(len(r.Bins)) <= n-r.First {
		r.Bins = append(r.Bins, [4]float64{})
	}
	bin := &r.Bins[n-r.First]
	bin[0] += b.Stable.Total
	bin[1] += b.Stable.Bad
	bin[2] += b.Candidate.Total
	bin[3] += b.Candidate.Bad
}

func (r *Record) number(at time.Time) int64 { return at.UnixNano() / int64(r.Width) }

// widen makes bins of twice the width, which begin at multiples of that.
func (r *Record) widen() {
	first := r.First / 2
	wide := make([][4]float64, 0, len(r.Bins)/2+1)
	for i, b := range r.Bins {
		at := int(((r.First + int64(i)) / 2) - first)
		if at == len(wide) {
			wide = append(wide, [4]float64{})
		}
		for j := range b {
			wide[at][j] += b[j]
		}
	}
	r.Width, r.First, r.Bins = 2*r.Width, first, wide
}

// Closed is the record without the bin that still fills at a time.
func (r Record) Closed(now time.Time) Record {
	n := min(int64(len(r.Bins)), max(0, r.number(now)-r.First))
	r.Bins = slices.Clone(r.Bins[:n])
	return r
}

// Until returns the bins that were over at a time. The one that still fills is not judged: whoever looks more often would see more.
func (r Record) Until(now time.Time) []Bin {
	var all []Bin
	for _, b := range r.Closed(now).Bins {
		all = append(all, Bin{Stable: Count{Total: b[0], Bad: b[1]}, Candidate: Count{Total: b[2], Bad: b[3]}})
	}
	return all
}
