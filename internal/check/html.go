package check

import (
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"gapless.dev/gapless/internal/report"
	"gapless.dev/kit/kittest"
)

//go:embed page.tmpl
var pageTemplate string

var page = template.Must(template.New("page").Funcs(template.FuncMap{"count": report.Count}).Parse(pageTemplate))

// HTML writes the report as one page: no script, nothing to fetch.
func (r Report) HTML(w io.Writer) error {
	passed, failed, should, skipped := r.Counts()
	view := struct {
		Report
		CSS                             template.CSS
		First                           *Rule
		Passed, Failed, Should, Skipped int
		Start                           string
		Failures, Others                []Rule
	}{Report: r, CSS: template.CSS(report.PageCSS()), Passed: passed, Failed: failed, Should: should, Skipped: skipped}
	if first, ok := r.First(); ok {
		view.First = &first
	}
	if r.StartMs > 0 {
		view.Start = report.Short(time.Duration(r.StartMs * float64(time.Millisecond)))
	}
	for _, one := range r.Rules {
		if one.Result == kittest.Fail {
			view.Failures = append(view.Failures, one)
		} else {
			view.Others = append(view.Others, one)
		}
	}
	slices.SortStableFunc(view.Others, func(a, b Rule) int { return strings.Compare(string(a.Result), string(b.Result)) })
	return page.Execute(w, view)
}

// Class is how a result is coloured.
func (r Rule) Class() string {
	switch {
	case r.Result == kittest.Pass:
		return "good"
	case r.Result == kittest.Fail:
		return "bad"
	}
	return "quiet"
}
