package gate

import (
	"math"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// A Sighting is one answer that came through the address that clients use.
type Sighting struct {
	Version rollout.Version
	// Began is when its request was sent.
	Began time.Time
}

// sights are the newest sightings, oldest first.
type sights struct{ all []Sighting }

// mostSights bounds them: enough to tell 1 % from none.
const mostSights = 600

func (s *sights) add(one Sighting) {
	s.all = append(s.all, one)
	if n := len(s.all) - mostSights; n > 0 {
		s.all = append(s.all[:0], s.all[n:]...)
	}
}

// Sees tells whether the answers prove that a route which was told at a time has arrived: all requests that were sent since then were answered
// by versions that have a share, and each share is what was aimed at as closely as such a number of answers can show.
func (p *Panel) Sees(route rollout.Route, told time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts, total := map[rollout.Version]int{}, 0
	for _, s := range p.sights.all {
		if s.Began.After(told) {
			counts[s.Version]++
			total++
		}
	}
	return proves(route.Weights, counts, total)
}

// proves tells whether so many answers of each version prove the weights, at 95 %. Of a version without a weight none may be seen, and so many
// answers must have come that one share in twenty would have shown.
func proves(weights rollout.Weights, counts map[rollout.Version]int, total int) bool {
	const enough = 59 // 0.95^59 is below 5 %
	if total < enough {
		return false
	}
	for v, n := range counts {
		if n > 0 && weights[v] == 0 {
			return false
		}
	}
	for v, w := range weights {
		share := float64(w) / 100
		low, high := interval(counts[v], total)
		if share < low || share > high || share > 0 && counts[v] == 0 {
			return false
		}
	}
	return true
}

// interval is the 95 % score interval of a share, by Wilson.
func interval(n, of int) (low, high float64) {
	const z = 1.96
	total, p := float64(of), float64(n)/float64(of)
	middle := (p + z*z/(2*total)) / (1 + z*z/total)
	half := z / (1 + z*z/total) * math.Sqrt(p*(1-p)/total+z*z/(4*total*total))
	const rounding = 1e-9
	return middle - half - rounding, middle + half + rounding
}
