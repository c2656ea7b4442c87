package demo

import (
	"fmt"
	"strings"
	"time"

	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/cli/status"
	"gapless.dev/gapless/internal/probe"
	evidence "gapless.dev/gapless/internal/report"
)

// sparkCells is how many characters show a run over time.
const sparkCells = 24

// A Result is what was counted in one run.
type Result struct {
	Strategy, Service string
	Traffic           evidence.Traffic
	// Report is of the rollout; empty where there was none.
	Report evidence.Report
	// Duration is from the deploy to its end.
	Duration time.Duration
}

// A picture is what is drawn.
type picture struct {
	opts    Options
	cells   []cell
	done    []Result
	current int
	traffic evidence.Traffic
	live    probe.Live
	report  evidence.Report
	paint   paint.Palette
}

// draw is the live view. It is pure.
func draw(p picture, width int) string {
	c := p.paint
	var b strings.Builder
	b.WriteString(c.Bold("1.0.0 is replaced by 2.0.0") + fmt.Sprintf(" under %g requests a second, half of them on new connections\n\n", p.opts.Rate))
	rows := rowsOf(p.done, c)
	if p.current >= 0 {
		now := p.cells[p.current]
		rows = append(rows, row(Result{Strategy: string(now.strategy), Service: now.service, Traffic: p.traffic}, c, true))
	}
	for i := max(p.current+1, len(p.done)); i < len(p.cells); i++ {
		rows = append(rows, []string{"", c.Dim(string(p.cells[i].strategy)), c.Dim(p.cells[i].service), "", "", "", ""})
	}
	b.WriteString(paint.Table("", 2, c, columns, rows))
	if p.current < 0 || p.report.App == "" {
		return b.String()
	}
	r := p.report
	r.Phases = nil // the table above tells enough
	for i := range r.Versions {
		r.Versions[i].Instances = nil
	}
	view := status.View{Report: r, Paint: c, History: []status.Rates{rates(p.live)}}
	return b.String() + "\n" + status.Render(view, width)
}

func rates(l probe.Live) status.Rates {
	per := map[string]float64{}
	for v, n := range l.PerSecond {
		per[v] = float64(n)
	}
	return status.Rates{PerSecond: per, Lost: float64(l.LostPerSecond)}
}

var columns = []string{"", "strategy", "service", ">requests", ">lost", ">longest gap", "versions over time"}

func rowsOf(results []Result, c paint.Palette) [][]string {
	var rows [][]string
	for _, r := range results {
		rows = append(rows, row(r, c, false))
	}
	return rows
}

func row(r Result, c paint.Palette, underWay bool) []string {
	t := r.Traffic
	mark, lost, gap := c.Good("✓"), evidence.Count(t.Lost), evidence.Short(t.LongestGap.Duration())
	switch {
	case t.Lost > 0 && r.mustNotLose():
		mark, lost, gap = c.Bad("✗"), c.Bad(lost), c.Bad(gap)
	case t.Lost > 0:
		mark, lost, gap = c.Dim("-"), c.Candidate(lost), c.Candidate(gap)
	}
	name := r.Strategy
	if underWay {
		mark, name = c.Candidate("●"), c.Bold(name)
	}
	return []string{mark, name, r.Service, evidence.Count(t.Requests), lost, gap, colours(t.Sparkline(sparkCells), c)}
}

// colours paints the characters of a sparkline, in runs.
func colours(s string, c paint.Palette) string {
	var b strings.Builder
	for len(s) > 0 {
		n := 1
		for n < len(s) && s[n] == s[0] {
			n++
		}
		part := s[:n]
		switch s[0] {
		case '1':
			part = c.Stable(part)
		case '2':
			part = c.Candidate(part)
		case '.', 'x':
			part = c.Bad(part)
		}
		b.WriteString(part)
		s = s[n:]
	}
	return b.String()
}
