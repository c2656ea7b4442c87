package report

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Text writes the report for a person: aligned, plain, no colour.
func Text(w io.Writer, r Report) error {
	p := &page{}
	p.head(r)
	p.versions(r)
	p.phases(r)
	p.gates(r)
	if r.Traffic != nil {
		p.traffic(*r.Traffic)
	}
	p.decisions(r)
	p.converged(r)
	p.lines("last lines of the candidate", r.Logs)
	p.section("images", imageRows(r.Images)...)
	p.lines("notes", r.Notes)
	if r.Traffic != nil {
		p.verdict(*r.Traffic)
	}
	_, err := w.Write(p.buf.Bytes())
	return err
}

// page collects sections; each is preceded by an empty line but the first.
type page struct{ buf bytes.Buffer }

func (p *page) head(r Report) {
	fmt.Fprintln(&p.buf, r.Title())
	if standing := r.Standing(); standing != "" {
		fmt.Fprintln(&p.buf, standing)
	}
	if r.Message != "" {
		fmt.Fprintln(&p.buf, r.Message)
	}
	if from := r.Source.String(); from != "" {
		fmt.Fprintln(&p.buf, from)
	}
}

// section starts a titled section; rows are cells joined by tabs.
func (p *page) section(title string, rows ...string) {
	if len(rows) == 0 {
		return
	}
	p.buf.WriteByte('\n')
	if title != "" {
		fmt.Fprintln(&p.buf, title)
	}
	var table bytes.Buffer
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(tw, "  "+row)
	}
	tw.Flush()
	for line := range bytes.Lines(table.Bytes()) {
		p.buf.Write(append(bytes.TrimRight(line, " \n"), '\n'))
	}
}

// imageRows are one for each image of each version.
func imageRows(images map[string][]string) []string {
	var rows []string
	for _, version := range slices.Sorted(maps.Keys(images)) {
		for _, image := range images[version] {
			rows = append(rows, row(version, image))
		}
	}
	return rows
}

func row(cells ...any) string {
	s := make([]string, len(cells))
	for i, c := range cells {
		s[i] = fmt.Sprint(c)
	}
	return strings.Join(s, "\t")
}

func (p *page) versions(r Report) {
	if len(r.Versions) == 0 {
		return
	}
	rows := []string{row("version", "role", "weight", "ready", "asked", "in flight", "")}
	for _, v := range r.Versions {
		inFlight := "unknown"
		if v.InFlight >= 0 {
			inFlight = Count(v.InFlight)
		}
		rows = append(rows, row(v.Name, v.Role, fmt.Sprintf("%d %%", v.Weight), v.Ready, v.Desired, inFlight, v.Failure))
	}
	p.section("", rows...)

	rows = nil
	for _, v := range r.Versions {
		for _, i := range v.Instances {
			pid, restarts := "", ""
			if i.Pid > 0 {
				pid = fmt.Sprintf("pid %d", i.Pid)
			}
			if i.Restarts > 0 {
				restarts = plural(i.Restarts, "restart")
			}
			rows = append(rows, row(i.Name, i.State, pid, i.Address, restarts, i.Message))
		}
	}
	p.section("", rows...)
	p.counts(r)
}

// counts shows what the data plane counted, beside what a probe counted from outside.
func (p *page) counts(r Report) {
	rows := []string{row("version", "requests", "5xx", "cut short", "client gone", "retried", "mean")}
	for _, v := range r.Versions {
		if c := v.Counts; c != nil {
			rows = append(rows, row(v.Name, c.Requests, c.Status5xx, c.Errors, c.Gone, c.Retried, Short(c.Latency.Duration())))
		}
	}
	if len(rows) > 1 {
		p.section("reached", rows...)
	}
	rows = []string{row("version", "copies", "other status", "no answer", "mean")}
	for _, v := range r.Versions {
		if c := v.Counts; c != nil && c.Mirrored > 0 {
			rows = append(rows, row(v.Name, c.Mirrored, c.MirrorDiffers, c.MirrorErrors, Short(c.MirrorLatency.Duration())))
		}
	}
	if len(rows) > 1 {
		p.section("mirrored", rows...)
	}
}

func (p *page) phases(r Report) {
	var rows []string
	for _, s := range r.Phases {
		rows = append(rows, row(s.label(), "at "+offset(s.Start.Sub(r.Started)), "for "+Short(s.took(r.At))))
	}
	p.section("phases", rows...)
}

func (p *page) gates(r Report) {
	var rows []string
	for _, g := range r.Gates {
		rows = append(rows, row(g.Name, g.When(), g.Outcome, g.Words()))
	}
	p.section("gates", rows...)
}

func (p *page) traffic(t Traffic) {
	rows := []string{
		row("requests", Count(t.Requests)+rate(t)),
		row("lost", Count(t.Lost)),
		row("longest gap", Short(t.LongestGap.Duration())),
	}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, row(name, value))
		}
	}
	add("losses", counts(t.Losses))
	add("versions", t.versionCounts())
	if t.Lost < t.Requests {
		add("latency", t.Latency.words())
	}
	add("connections", counts(t.Connections))
	add("protocols", counts(t.Protocols))
	if t.ScheduleError != (Quantiles{}) {
		add("started late", t.ScheduleError.words())
	}
	add("over time", t.Sparkline(60))
	p.section("traffic", rows...)
	p.gaps(t)
}

func rate(t Traffic) string {
	if t.Rate == 0 {
		return ""
	}
	return fmt.Sprintf("   (%g/s for %s)", t.Rate, Short(t.Elapsed.Duration()))
}

// gaps shows the ten longest in order of time.
func (p *page) gaps(t Traffic) {
	shown := t.longestGaps(10)
	var rows []string
	for _, g := range shown {
		rows = append(rows, row("at "+offset(g.Start.Duration()), "for "+Short(g.Length.Duration()), Count(g.Lost)+" lost", counts(g.Losses)))
	}
	if left := len(t.Gaps) - len(shown); left > 0 {
		rows = append(rows, fmt.Sprintf("and %s more, none longer", Count(left)))
	}
	p.section("gaps", rows...)

	rows = nil
	seen := map[string]bool{}
	for _, l := range t.Examples {
		if !seen[l.Class] {
			seen[l.Class] = true
			rows = append(rows, row(l.Class, "at "+offset(l.At.Duration()), l.Protocol+" "+l.Method, l.Connection, l.Error))
		}
	}
	p.section("first loss of each class", rows...)
}

func (p *page) decisions(r Report) {
	var rows []string
	for _, d := range r.Decisions {
		message := d.Message
		if d.By != "" {
			message += " (by " + d.By + ")"
		}
		rows = append(rows, row("at "+offset(d.At.Sub(r.Started)), d.Phase, d.Reason, message))
	}
	p.section("decisions", rows...)
}

func (p *page) converged(r Report) {
	var rows []string
	for _, c := range r.Converged {
		rows = append(rows, row(c.What, c.Grade, "after "+Short(c.After.Duration())))
	}
	p.section("arrived", rows...)
}

func (p *page) lines(title string, lines []string) {
	p.section(title, lines...)
}

func (p *page) verdict(t Traffic) {
	p.buf.WriteByte('\n')
	for _, w := range t.Warnings {
		fmt.Fprintln(&p.buf, "warning: "+w)
	}
	fmt.Fprintln(&p.buf, sentence(t.Bound))
}

// offset is a moment within the report. It may lie before its start.
func offset(d time.Duration) string {
	return fmt.Sprintf("%.1f s", d.Seconds())
}
