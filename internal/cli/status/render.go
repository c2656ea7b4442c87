package status

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"gapless.dev/gapless/internal/cli/paint"
	evidence "gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// Render draws one app for a terminal of a width. It is pure: the same view gives the same text.
func Render(v View, width int) string {
	var sections []string
	for _, section := range []func(View, int) string{head, phases, versions, counted, traffic, instances, notes, logs} {
		if s := strings.TrimRight(section(v, width), "\n"); s != "" {
			sections = append(sections, s)
		}
	}
	return strings.Join(sections, "\n\n") + "\n"
}

// Overview draws a line for each app.
func Overview(all []evidence.Report, c paint.Palette, width int) string {
	if len(all) == 0 {
		return "no apps\n"
	}
	var rows [][]string
	counts := slices.ContainsFunc(all, counts)
	for _, r := range all {
		ready, asked := 0, 0
		for _, v := range r.Versions {
			ready, asked = ready+v.Ready, asked+v.Desired
		}
		weight := ""
		if !r.Over() && r.Revision > 0 {
			weight = percent(r.Weight)
		}
		row := []string{r.App, phase(r, c), way(r, c), weight, fmt.Sprintf("%d/%d", ready, asked)}
		if counts {
			requests, lostOf := totals(r)
			row = append(row, evidence.Count(int(requests)), losses(lostOf, c))
		}
		rows = append(rows, append(row, ""))
	}
	head := []string{"app", "phase", "versions", ">weight", ">ready"}
	if counts {
		head = append(head, ">requests", ">lost")
	}
	head = append(head, "")
	left := width - lipgloss.Width(paint.Table("", 2, c, head, rows)) - 2
	for i, r := range all {
		rows[i][len(head)-1] = paint.Clip(r.Message, max(0, left))
	}
	return paint.Table("", 2, c, head, rows)
}

// counts tells whether anybody counts the requests of an app: the proxy, or a probe.
func counts(r evidence.Report) bool {
	return r.Traffic != nil || slices.ContainsFunc(r.Versions, func(v evidence.Version) bool { return v.Counts != nil }) ||
		r.On == nil || r.On.Platform != evidence.Kube
}

// totals are an app's requests, and how many of them were lost.
func totals(r evidence.Report) (requests, lostOf int64) {
	if r.Traffic != nil {
		return int64(r.Traffic.Requests), int64(r.Traffic.Lost)
	}
	for _, v := range r.Versions {
		if v.Counts != nil {
			requests, lostOf = requests+v.Counts.Requests, lostOf+lost(*v.Counts)
		}
	}
	return requests, lostOf
}

func head(v View, width int) string {
	r, c := v.Report, v.Paint
	title := c.Bold(r.App)
	if w := way(r, c); w != "" {
		title += "  " + w
	}
	if r.Strategy != "" {
		title += c.Dim("  " + r.Strategy)
	}
	if r.Revision > 0 {
		title += c.Dim("  revision " + strconv.Itoa(r.Revision))
	}
	if v.Where && r.On != nil {
		title = c.Dim("on "+r.On.String()) + "\n" + title
	}
	lines := []string{title}
	standing := r.Standing()
	if left := r.Until.Sub(r.At); !r.Until.IsZero() && left > 0 {
		standing += then(r, whole(left))
	}
	switch {
	case r.Outcome == evidence.Promoted:
		standing = c.Good(standing)
	case r.Outcome == evidence.Aborted:
		standing = c.Bad(standing)
	}
	if standing != "" {
		lines = append(lines, standing)
	}
	if r.Message != "" {
		lines = append(lines, paint.Wrap(strings.Fields(r.Message), " ", "", width))
	}
	if from := r.Source.String(); from != "" {
		lines = append(lines, c.Dim(paint.Wrap(strings.Fields(from), " ", "", width)))
	}
	return strings.Join(lines, "\n")
}

// then is what happens when the time that is left is over. A deadline is worth a word only where somebody fails.
func then(r evidence.Report, left string) string {
	switch r.Reason {
	case rollout.ReasonCandidateGrowing, rollout.ReasonStableGrowing, rollout.ReasonRouteConverging:
		if !slices.ContainsFunc(r.Versions, func(v evidence.Version) bool { return v.Failure != "" }) {
			return ""
		}
		return ", taken back in " + left
	}
	return ", next in " + left
}

// phases are those that were passed, in one breath.
func phases(v View, width int) string {
	r, c := v.Report, v.Paint
	var parts []string
	for _, s := range r.Phases {
		name := s.Name
		if s.Step > 0 {
			name += " " + percent(s.Weight)
		}
		end := s.End
		if end.IsZero() {
			end = r.At
		}
		took := " " + evidence.Short(max(0, end.Sub(s.Start)))
		switch {
		case !s.End.IsZero():
			parts = append(parts, c.Good("✓ ")+name+c.Dim(took))
		case r.Over():
		default:
			parts = append(parts, c.Candidate("● ")+c.Bold(name)+c.Dim(took))
		}
	}
	return paint.Wrap(parts, "   ", "  ", width)
}

// leastBar and mostBar are the widths of a bar that can be read at a glance.
const leastBar, mostBar = 8, 40

// versions is the table with the bars, which take what the other columns leave.
func versions(v View, width int) string {
	if len(v.Report.Versions) == 0 {
		return ""
	}
	wide := true
	spare := width - lipgloss.Width(versionTable(v, leastBar, wide))
	if spare < 4 {
		wide = false
		spare = width - lipgloss.Width(versionTable(v, leastBar, wide))
	}
	text := versionTable(v, min(mostBar, leastBar+max(0, spare)), wide)
	for _, ver := range v.Report.Versions {
		if ver.Failure != "" {
			text += "  " + v.Paint.Bad(ver.Name+": ") + paint.Clip(ver.Failure, width-len(ver.Name)-4) + "\n"
		}
	}
	return text
}

func versionTable(v View, bar int, wide bool) string {
	c := v.Paint
	if slices.ContainsFunc(v.Report.Versions, func(ver evidence.Version) bool { return ver.Set != "" }) {
		return setTable(v, bar, wide)
	}
	head := []string{"version", "role", "weight", ">ready", ">req/s", ">requests", ">lost"}
	if wide {
		head = append(head, ">in flight", ">mean")
	}
	var rows [][]string
	for _, ver := range v.Report.Versions {
		colour := c.Stable
		if ver.Role != "stable" {
			colour = c.Candidate
		}
		full, empty := paint.Bar(float64(ver.Weight)/100, bar)
		row := []string{
			colour(paint.Clip(ver.Name, 16)), ver.Role, colour(full) + c.Dim(empty) + fmt.Sprintf("%6s", percent(ver.Weight)),
			readiness(ver, c), rate(v, ver.Name), "", "",
		}
		inFlight, mean := "", ""
		if ver.Counts != nil {
			row[5], row[6] = evidence.Count(int(ver.Counts.Requests)), losses(lost(*ver.Counts), c)
			mean = evidence.Short(ver.Counts.Latency.Duration())
		}
		if ver.InFlight >= 0 {
			inFlight = strconv.Itoa(ver.InFlight)
		}
		if wide {
			row = append(row, inFlight, mean)
		}
		rows = append(rows, row)
	}
	return paint.Table("  ", 2, c, head, rows)
}

// setTable is the table of a cluster: each version is a ReplicaSet, and what the data plane can send to stands in EndpointSlices.
func setTable(v View, bar int, wide bool) string {
	c, counts := v.Paint, v.Report.Traffic != nil
	head := []string{"version", "role", "weight", ">ready", ">endpoints"}
	if counts {
		head = append(head, ">req/s", ">answered")
	}
	if wide {
		head = append(head, "ReplicaSet")
	}
	var rows [][]string
	for _, ver := range v.Report.Versions {
		colour := c.Stable
		if ver.Role != "stable" {
			colour = c.Candidate
		}
		full, empty := paint.Bar(float64(ver.Weight)/100, bar)
		endpoints := "-"
		if ver.Listed != nil {
			endpoints = strconv.Itoa(*ver.Listed)
		}
		row := []string{colour(paint.Clip(ver.Name, 16)), ver.Role, colour(full) + c.Dim(empty) + fmt.Sprintf("%6s", percent(ver.Weight)), readiness(ver, c), endpoints}
		if counts {
			row = append(row, rate(v, ver.Name), evidence.Count(v.Report.Traffic.Versions[ver.Name]))
		}
		if wide {
			row = append(row, ver.Set)
		}
		rows = append(rows, row)
	}
	return paint.Table("  ", 2, c, head, rows)
}

// counted is what a probe has counted until now.
func counted(v View, _ int) string {
	t, c := v.Report.Traffic, v.Paint
	if t == nil {
		return ""
	}
	text := t.Headline()
	if t.Lost > 0 {
		return "  " + c.Dim("probe ") + c.Bad(text)
	}
	return "  " + c.Dim("probe ") + c.Good(text)
}

func notes(v View, width int) string {
	var b strings.Builder
	for _, n := range v.Report.Notes {
		b.WriteString(paint.Wrap(strings.Fields("note: "+n), " ", "  ", width) + "\n")
	}
	return b.String()
}

func readiness(v evidence.Version, c paint.Palette) string {
	text := fmt.Sprintf("%d/%d", v.Ready, v.Desired)
	if v.Stopping > 0 {
		text += fmt.Sprintf(" -%d", v.Stopping)
	}
	if v.Ready < v.Desired {
		return c.Candidate(text)
	}
	return text
}

func rate(v View, version string) string {
	if len(v.History) == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", v.History[len(v.History)-1].PerSecond[version])
}

// traffic draws the last seconds, a line for each version.
func traffic(v View, width int) string {
	if len(v.History) < 2 {
		return ""
	}
	c := v.Paint
	name := 0
	for _, ver := range v.Report.Versions {
		name = max(name, len([]rune(paint.Clip(ver.Name, 16))))
	}
	name = max(name, len("lost"))
	cells := min(len(v.History), max(10, width-name-14))
	shown := v.History[len(v.History)-cells:]
	most, lostMost := 0.0, 0.0
	for _, h := range shown {
		lostMost = max(lostMost, h.Lost)
		for _, n := range h.PerSecond {
			most = max(most, n)
		}
	}
	if most == 0 {
		return ""
	}
	var b strings.Builder
	line := func(label string, get func(Rates) float64, top float64, colour func(string) string) {
		values := make([]float64, len(shown))
		for i, h := range shown {
			values[i] = get(h)
		}
		fmt.Fprintf(&b, "  %s%s  %s\n", colour(label), strings.Repeat(" ", name-len([]rune(label))), colour(strings.TrimRight(paint.Spark(values, top), " ")))
	}
	for _, ver := range v.Report.Versions {
		colour := c.Stable
		if ver.Role != "stable" {
			colour = c.Candidate
		}
		line(paint.Clip(ver.Name, 16), func(r Rates) float64 { return r.PerSecond[ver.Name] }, most, colour)
	}
	if lostMost > 0 {
		line("lost", func(r Rates) float64 { return r.Lost }, lostMost, c.Bad)
	}
	title := fmt.Sprintf("  requests a second, last %d s, highest %.0f", cells, most)
	return c.Dim(title) + "\n" + b.String()
}

// instances are the processes. A long list is cut: what is wrong comes first to the eye by its colour, not by its place.
func instances(v View, width int) string {
	const most = 24
	r, c := v.Report, v.Paint
	var rows [][]string
	more := 0
	for _, ver := range r.Versions {
		for _, i := range ver.Instances {
			if len(rows) == most {
				more++
				continue
			}
			since, restarts := "", ""
			if !i.Since.IsZero() {
				since = whole(r.At.Sub(i.Since))
			}
			if i.Restarts > 0 {
				restarts = strconv.Itoa(i.Restarts)
			}
			row := []string{i.Name, state(i.State, c), number(i.Pid), i.Address, since, restarts}
			if ver.Set != "" {
				row = []string{i.Name, state(i.State, c), i.Node, listed(i), since, restarts}
			}
			rows = append(rows, append(row, i.Message))
		}
	}
	if len(rows) == 0 {
		return ""
	}
	head := []string{"process", "state", ">pid", "address", ">for", ">restarts", ""}
	if r.Versions[0].Set != "" {
		head = []string{"pod", "state", "node", "endpoint", ">for", ">restarts", ""}
	}
	bare := make([][]string, len(rows))
	for i, row := range rows {
		bare[i] = row[:len(row)-1]
	}
	left := width - lipgloss.Width(paint.Table("  ", 2, c, head[:len(head)-1], bare)) - 2
	for _, row := range rows {
		row[len(row)-1] = paint.Clip(row[len(row)-1], max(0, left))
	}
	text := paint.Table("  ", 2, c, head, rows)
	if more > 0 {
		text += c.Dim(fmt.Sprintf("  and %d more\n", more))
	}
	return text
}

// listed is the pod's address where an EndpointSlice has it.
func listed(i evidence.Instance) string {
	if i.Listed {
		return i.Address
	}
	return "-"
}

func logs(v View, width int) string {
	if len(v.Report.Logs) == 0 {
		return ""
	}
	text := v.Paint.Dim("  last lines of the candidate") + "\n"
	for _, l := range v.Report.Logs {
		text += "  " + paint.Clip(l, width-2) + "\n"
	}
	return text
}

func phase(r evidence.Report, c paint.Palette) string {
	s := r.Phase
	if r.Step > 0 && r.Steps > 0 && !r.Over() {
		s += fmt.Sprintf(" %d/%d", r.Step, r.Steps)
	}
	if r.PausedBy != "" {
		s += ", paused"
	}
	switch {
	case !r.Over() && r.Revision > 0:
		return c.Candidate(s)
	case r.Outcome == evidence.Aborted:
		return c.Bad(s)
	}
	return s
}

// way is stable's version at rest, and the passage while there is one.
func way(r evidence.Report, c paint.Palette) string {
	if r.Over() || r.From == "" || r.From == r.To {
		return c.Stable(Stable(r))
	}
	return c.Stable(r.From) + " → " + c.Candidate(r.To)
}

func state(s string, c paint.Palette) string {
	switch s {
	case "Ready":
		return c.Good(s)
	case "CrashLoop", "Exited", "NotReady", "Pending":
		return c.Bad(s)
	}
	return c.Candidate(s)
}

func losses(n int64, c paint.Palette) string {
	if n == 0 {
		return "0"
	}
	return c.Bad(evidence.Count(int(n)))
}

func percent(n int) string { return strconv.Itoa(n) + " %" }

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// whole is a duration in whole seconds.
func whole(d time.Duration) string {
	return strings.Replace(evidence.Short(max(0, d.Round(time.Second))), ".0 s", " s", 1)
}
