package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

//go:embed page.tmpl
var pageTemplate string

//go:embed picture.tmpl
var pictureTemplate string

//go:embed page.css
var pageCSS string

//go:embed picture.css
var pictureCSS string

// HTML writes the reports as one self-contained page: no script, nothing to fetch. With more
// than one, a table of all comes first.
func HTML(w io.Writer, reports ...Report) error {
	p := &htmlPage{
		PageCSS:    template.CSS(pageCSS),
		PictureCSS: template.CSS(pictureCSS),
		Many:       len(reports) > 1,
		Title:      "Gapless report",
	}
	for i, r := range reports {
		p.Views = append(p.Views, newView(i, r))
	}
	if len(reports) == 1 {
		p.Title = reports[0].Title()
	}
	return templates.ExecuteTemplate(w, "page", p)
}

// SVG writes the timeline alone, for a document that shows pictures. It writes nothing when
// no traffic was counted.
func SVG(w io.Writer, r Report) error {
	pic := draw(r)
	if pic == nil {
		return nil
	}
	var b strings.Builder
	if err := templates.ExecuteTemplate(&b, "picture", pic); err != nil {
		return err
	}
	head, rest, _ := strings.Cut(b.String(), ">")
	_, err := io.WriteString(w, head+">\n<style>"+pictureCSS+"</style>\n"+rest+"\n")
	return err
}

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"px":       num,
	"add":      func(a, b float64) float64 { return a + b },
	"count":    Count,
	"whole":    func(n int64) string { return Count(int(n)) },
	"short":    func(m Millis) string { return Short(m.Duration()) },
	"offset":   func(m Millis) string { return offset(m.Duration()) },
	"sentence": sentence,
}).Parse(pageTemplate + pictureTemplate))

func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

type htmlPage struct {
	Title               string
	PageCSS, PictureCSS template.CSS
	Many                bool
	Views               []*view
}

// view is a report with what the template cannot work out.
type view struct {
	R       Report
	ID      string
	Picture *picture
}

func newView(i int, r Report) *view {
	return &view{R: r, ID: fmt.Sprintf("run-%d", i+1), Picture: draw(r)}
}

// Over is the small line above the heading.
func (v *view) Over() string {
	var parts []string
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	add(v.R.Label)
	if v.R.Label == "" {
		add(v.R.Strategy)
	}
	if v.R.Revision > 0 {
		add(fmt.Sprintf("revision %d", v.R.Revision))
	}
	if v.R.App == "" {
		add("probe")
	}
	if !v.R.Started.IsZero() {
		add(v.R.Started.UTC().Format("2 January 2006, 15:04:05 UTC"))
	}
	return strings.Join(parts, " · ")
}

func (v *view) Heading() string {
	if v.R.App == "" && v.R.Traffic != nil {
		return v.R.Traffic.URL
	}
	return v.R.App
}

// Standing has no place in a bare probe.
func (v *view) Standing() string {
	if v.R.App == "" {
		return ""
	}
	return v.R.Standing()
}

// Single reports whether there is nothing to tell beside the figures.
func (v *view) Single() bool {
	return len(v.R.Decisions)+len(v.R.Logs)+len(v.R.Notes) == 0
}

// At is a moment in the time of the picture.
func (v *view) At(at time.Time) string {
	from := v.R.Started
	if v.R.Traffic != nil && !v.R.Traffic.Started.IsZero() {
		from = v.R.Traffic.Started
	}
	return offset(at.Sub(from))
}

type legendEntry struct{ Class, Name, Count string }

func (v *view) Legend() []legendEntry {
	var out []legendEntry
	for i, name := range v.R.Traffic.VersionNames() {
		out = append(out, legendEntry{versionClass(i), named(name), Count(v.R.Traffic.Versions[name]) + " answers"})
	}
	if v.R.Traffic.Lost > 0 {
		out = append(out, legendEntry{"lost", "lost", plural(v.R.Traffic.Lost, "request")})
	}
	return out
}

type lossRow struct {
	Class string
	N     int
	First string
}

func (v *view) Losses() []lossRow {
	t := v.R.Traffic
	var rows []lossRow
	for _, class := range slices.SortedFunc(maps.Keys(t.Losses), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.Losses[b], t.Losses[a]), cmp.Compare(a, b))
	}) {
		row := lossRow{Class: class, N: t.Losses[class]}
		for _, l := range t.Examples {
			if l.Class == class {
				row.First = fmt.Sprintf("%s: %s", offset(l.At.Duration()), l.Error)
				break
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// Reached lists the versions of which the data plane counted something.
func (v *view) Reached() []Version {
	var out []Version
	for _, version := range v.R.Versions {
		if version.Counts != nil {
			out = append(out, version)
		}
	}
	return out
}

func (v *view) Gaps() []Gap {
	if v.R.Traffic == nil {
		return nil
	}
	return v.R.Traffic.longestGaps(8)
}

// Facts is what a reader needs to trust the figures.
func (v *view) Facts() [][2]string {
	t := v.R.Traffic
	if t == nil {
		return nil
	}
	var out [][2]string
	add := func(name, value string) {
		if value != "" {
			out = append(out, [2]string{name, value})
		}
	}
	add("asked for", t.URL)
	add("connections", counts(t.Connections))
	add("protocols", counts(t.Protocols))
	add("methods", counts(t.Methods))
	if t.Lost < t.Requests {
		add("latency", t.Latency.words())
	}
	if t.ScheduleError != (Quantiles{}) {
		add("started late by", t.ScheduleError.words())
	}
	return out
}

// PageCSS is the look of a report's page, for pages of other rooms that belong beside it.
func PageCSS() string { return pageCSS }
