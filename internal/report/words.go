package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Short writes a duration for a reader: 0 ms, 0.42 ms, 12 ms, 420 ms, 12.3 s, 4m05s.
func Short(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case d < 0:
		return "-" + Short(-d)
	case ms == 0:
		return "0 ms"
	case ms < 9.95:
		return fmt.Sprintf("%.2g ms", ms)
	case ms < 999.5:
		return fmt.Sprintf("%.0f ms", ms)
	case d < 59950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	d = d.Round(time.Second)
	if d < time.Hour {
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// counts writes a map of counts in one line, the largest first.
func counts(m map[string]int) string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, name := range names {
		parts = append(parts, named(name)+" "+Count(m[name]))
	}
	return strings.Join(parts, "   ")
}

// versionCounts is counts in the order in which the versions first answered.
func (t Traffic) versionCounts() string {
	var parts []string
	for _, name := range t.VersionNames() {
		parts = append(parts, named(name)+" "+Count(t.Versions[name]))
	}
	return strings.Join(parts, "   ")
}

// named gives the empty version a name.
func named(version string) string {
	if version == "" {
		return "(version not told)"
	}
	return version
}

// plural writes 1 request, 2 requests.
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + one + "s"
}

func (q Quantiles) words() string {
	return fmt.Sprintf("p50 %s   p99 %s   max %s", Short(q.P50.Duration()), Short(q.P99.Duration()), Short(q.Max.Duration()))
}

// Headline says the traffic in one line: 0 of 48,211 requests lost, longest gap 0 ms.
func (t Traffic) Headline() string {
	return fmt.Sprintf("%s of %s lost, longest gap %s", Count(t.Lost), plural(t.Requests, "request"), Short(t.LongestGap.Duration()))
}

// Title names the report: demo-api revision 4, canary 1.0.0 → 2.0.0.
func (r Report) Title() string {
	if r.App == "" {
		if r.Traffic != nil && r.Traffic.URL != "" {
			return "Probe of " + r.Traffic.URL
		}
		return "Probe"
	}
	title := r.App
	if r.Revision > 0 {
		title += fmt.Sprintf(" revision %d", r.Revision)
	}
	if way := r.Way(); way != "" {
		title += ", " + strings.TrimSpace(r.Strategy+" "+way)
	}
	return title
}

// Way is the passage from one version to the next: 1.0.0 → 2.0.0.
func (r Report) Way() string {
	switch {
	case r.To == "":
		return r.From
	case r.From == "":
		return r.To
	}
	return r.From + " → " + r.To
}

// Standing is where the revision stands, in a few words: Promoted after 42.1 s; Shifting, step 2 of 3 at 25 % for 11.7 s.
func (r Report) Standing() string {
	if r.Over() && r.From == "" && r.Took() == 0 {
		return "" // it was taken into care as it stood
	}
	if r.Over() && r.Outcome != "" {
		return fmt.Sprintf("%s after %s", r.Outcome, Short(r.Took()))
	}
	s := r.Phase
	if r.Step > 0 && r.Steps > 0 {
		s += fmt.Sprintf(", step %d of %d at %d %%", r.Step, r.Steps, r.Weight)
	}
	// A reader takes the time for that of what stands before it: of the phase or the step, not of the revision, and not of the pause.
	if n := len(r.Phases); n > 0 && r.Phases[n-1].End.IsZero() && r.Outcome == Running {
		s += " for " + Short(r.Phases[n-1].took(r.At))
	}
	if r.PausedBy != "" {
		s += ", paused by " + r.PausedBy
	}
	return s
}

// label names a span: Shifting 25 %.
func (s Span) label() string {
	if s.Weight > 0 || s.Step > 0 {
		return fmt.Sprintf("%s %d %%", s.Name, s.Weight)
	}
	return s.Name
}

// took is how long the span lasted, or has until now.
func (s Span) took(now time.Time) time.Duration {
	if s.End.IsZero() {
		return max(0, now.Sub(s.Start))
	}
	return s.End.Sub(s.Start)
}

// When is the moment at which a gate was asked, in words.
func (g Gate) When() string {
	when := map[string]string{"beforeStart": "before the start", "step": "during the rollout", "beforePromotion": "before the promotion", "afterPromotion": "after the promotion"}[g.At]
	if g.Step > 0 {
		when = fmt.Sprintf("step %d", g.Step)
	}
	return cmp.Or(when, g.At)
}

// Words is what a gate answered, in words.
func (g Gate) Words() string {
	text := g.Reason
	if g.Detail != "" && g.Detail != g.Reason {
		text = strings.TrimPrefix(text+": "+g.Detail, ": ")
	}
	switch {
	case g.WaivedBy != "":
		text += "; " + g.WaivedBy + " let the rollout go on without it"
	case g.DryRun:
		text += "; it only reports"
	}
	return text
}
