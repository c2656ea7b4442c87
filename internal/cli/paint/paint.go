// Package paint is how things look on a terminal: a few colours with a meaning, bars, and tables that keep their columns.
package paint

import (
	"math"
	"strings"

	"charm.land/lipgloss/v2"
)

// A Palette gives words the colour of what they mean. The zero value leaves them as they are.
type Palette struct{ On bool }

var (
	stable    = lipgloss.NewStyle().Foreground(lipgloss.Color("6"))
	candidate = lipgloss.NewStyle().Foreground(lipgloss.Color("3"))
	good      = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	bad       = lipgloss.NewStyle().Foreground(lipgloss.Color("1")).Bold(true)
	bold      = lipgloss.NewStyle().Bold(true)
	dim       = lipgloss.NewStyle().Faint(true)
)

func (p Palette) with(style lipgloss.Style, s string) string {
	if !p.On || s == "" {
		return s
	}
	return style.Render(s)
}

// Stable is the version that serves, or the first.
func (p Palette) Stable(s string) string { return p.with(stable, s) }

// Candidate is the version that may replace it, or the second.
func (p Palette) Candidate(s string) string { return p.with(candidate, s) }

// Good went well, Bad did not.
func (p Palette) Good(s string) string { return p.with(good, s) }

// Bad is what a person must see.
func (p Palette) Bad(s string) string { return p.with(bad, s) }

// Bold is what to read first, Dim what to read last.
func (p Palette) Bold(s string) string { return p.with(bold, s) }

// Dim is what to read last.
func (p Palette) Dim(s string) string { return p.with(dim, s) }

// Bar is a share of 0 to 1 as a bar of the given width. What is more than nothing shows, and what is less than all, too.
func Bar(share float64, width int) (full, empty string) {
	n := int(math.Round(share * float64(width)))
	if share > 0 {
		n = max(n, 1)
	}
	if share < 1 {
		n = min(n, width-1)
	}
	n = max(0, min(n, width))
	return strings.Repeat("█", n), strings.Repeat("░", width-n)
}

// Clip shortens a text without colour to a width.
func Clip(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	if width <= 1 {
		return string(r[:max(0, width)])
	}
	return string(r[:width-1]) + "…"
}

// Spark shows figures over time, scaled to the largest possible.
func Spark(values []float64, most float64) string {
	const levels = "▁▂▃▄▅▆▇█"
	steps := []rune(levels)
	var b strings.Builder
	for _, v := range values {
		if most <= 0 || v <= 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune(steps[min(len(steps), int(math.Ceil(v/most*float64(len(steps)))))-1])
	}
	return b.String()
}

// Table aligns cells, painted or not. A column whose name begins with > is aligned to the right.
func Table(indent string, gap int, p Palette, head []string, rows [][]string) string {
	widths := make([]int, len(head))
	right := make([]bool, len(head))
	names := make([]string, len(head))
	for i, h := range head {
		names[i], right[i] = strings.CutPrefix(h, ">")
		widths[i] = lipgloss.Width(names[i])
	}
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], lipgloss.Width(cell))
		}
	}
	var b strings.Builder
	line := func(cells []string, paint func(string) string) {
		var l strings.Builder
		l.WriteString(indent)
		for i, cell := range cells {
			if i > 0 {
				l.WriteString(strings.Repeat(" ", gap))
			}
			fill := strings.Repeat(" ", widths[i]-lipgloss.Width(cell))
			if paint != nil {
				cell = paint(cell)
			}
			if right[i] {
				l.WriteString(fill + cell)
			} else {
				l.WriteString(cell + fill)
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	line(names, p.Dim)
	for _, row := range rows {
		line(row, nil)
	}
	return b.String()
}

// Wrap joins parts and breaks the line where the next would pass the width.
func Wrap(parts []string, between, indent string, width int) string {
	var b strings.Builder
	at := 0
	for i, part := range parts {
		w := lipgloss.Width(part)
		switch {
		case i == 0:
			b.WriteString(indent)
			at = lipgloss.Width(indent)
		case at+lipgloss.Width(between)+w > width:
			b.WriteString("\n" + indent)
			at = lipgloss.Width(indent)
		default:
			b.WriteString(between)
			at += lipgloss.Width(between)
		}
		b.WriteString(part)
		at += w
	}
	return b.String()
}
