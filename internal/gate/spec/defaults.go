package spec

import (
	"cmp"
	"fmt"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// DefaultDeadline is how long a gate may be undecided unless it says otherwise.
const DefaultDeadline = 5 * time.Minute

// moments are when a kind is asked unless its user says so, by strategy.
func moments(kind string, s rollout.Strategy) []rollout.Moment {
	switch kind {
	case "window":
		return []rollout.Moment{rollout.BeforeStart}
	case "probe", "prometheus":
		switch s {
		case rollout.Recreate:
			return []rollout.Moment{rollout.AfterPromotion}
		case rollout.BlueGreen:
			if kind == "probe" {
				return []rollout.Moment{rollout.BeforePromotion, rollout.AfterPromotion}
			}
			return []rollout.Moment{rollout.AfterPromotion}
		}
		return []rollout.Moment{rollout.DuringStep}
	}
	if s == rollout.Recreate {
		return []rollout.Moment{rollout.BeforeStart}
	}
	return []rollout.Moment{rollout.BeforePromotion}
}

// WithDefaults fills in what a gate leaves open. It returns a copy.
func (g Gate) WithDefaults(s rollout.Strategy) Gate {
	g.Name = cmp.Or(g.Name, g.Kind())
	if len(g.At) == 0 {
		g.At = moments(g.Kind(), s)
	}
	if g.Deadline == nil {
		d := DefaultDeadline
		if g.Window != nil {
			d = 0
		}
		g.Deadline = &d
	}
	switch {
	case g.Probe != nil:
		p := *g.Probe
		p.Rate, p.Timeout, p.Tolerance = cmp.Or(p.Rate, 10), cmp.Or(p.Timeout, 2*time.Second), cmp.Or(p.Tolerance, 0.05)
		g.Probe = &p
	case g.Prometheus != nil:
		p := *g.Prometheus
		p.Every, p.Timeout = cmp.Or(p.Every, 5*time.Second), cmp.Or(p.Timeout, 5*time.Second)
		p.Tolerance, p.Failures = cmp.Or(p.Tolerance, 0.01), cmp.Or(p.Failures, 2)
		g.Prometheus = &p
	case g.Webhook != nil:
		w := *g.Webhook
		w.Timeout, w.Retries, w.Every = cmp.Or(w.Timeout, 10*time.Second), cmp.Or(w.Retries, 3), cmp.Or(w.Every, 10*time.Second)
		g.Webhook = &w
	case g.Job != nil:
		j := *g.Job
		j.Timeout = cmp.Or(j.Timeout, 5*time.Minute)
		g.Job = &j
	case g.Window != nil:
		w := *g.Window
		w.Zone = cmp.Or(w.Zone, "UTC")
		g.Window = &w
	}
	return g
}

// All fills in the defaults of a list. Gates of one kind without a name are told apart by a number.
func All(gates []Gate, s rollout.Strategy) []Gate {
	seen := map[string]int{}
	var all []Gate
	for _, g := range gates {
		named := g.Name != ""
		g = g.WithDefaults(s)
		if seen[g.Name]++; seen[g.Name] > 1 && !named {
			g.Name = fmt.Sprintf("%s-%d", g.Name, seen[g.Name])
		}
		all = append(all, g)
	}
	return all
}

// Planned is what the engine knows of the gates.
func Planned(gates []Gate) []rollout.Gate {
	var all []rollout.Gate
	for _, g := range gates {
		all = append(all, rollout.Gate{Name: g.Name, At: g.At, Deadline: *g.Deadline, Hold: g.Hold, DryRun: g.DryRun})
	}
	return all
}

// Tries is a number of retries as a Webhook holds it, in which 0 means the default: none at all is -1.
func Tries(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// Minutes of the day of a text such as 09:00. What is no such text is 0.
func Minutes(text string) int {
	var h, m int
	if n, err := fmt.Sscanf(text, "%d:%d", &h, &m); n != 2 || err != nil {
		return 0
	}
	return 60*h + m
}

// Day of a text such as Mon.
func Day(text string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if d.String()[:3] == text {
			return d, true
		}
	}
	return 0, false
}
