package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/cli/shell"
	evidence "gapless.dev/gapless/internal/report"
)

func print(sh *shell.Shell, o *Options, results []Result) error {
	return write(sh.Out, o.Output.Format, o, results, sh.Paint())
}

func write(w io.Writer, format string, o *Options, results []Result, c paint.Palette) error {
	switch format {
	case "json":
		return writeJSON(w, results)
	case "html":
		return writeHTML(w, results)
	}
	_, err := io.WriteString(w, Table(o, results, c))
	return err
}

// Table is the result for a person.
func Table(o *Options, results []Result, c paint.Palette) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s under %g requests a second, half of them on new connections\n\n", c.Bold("1.0.0 is replaced by 2.0.0"), o.Rate)
	b.WriteString(paint.Table("", 2, c, columns, rowsOf(results, c)))
	b.WriteString("\n")
	var sum evidence.Traffic
	var names, warnings []string
	for _, r := range results {
		if r.mustNotLose() {
			if !slices.Contains(names, r.Strategy) {
				names = append(names, r.Strategy)
			}
			sum.Requests += r.Traffic.Requests
			sum.Lost += r.Traffic.Lost
		}
		if r.Strategy == string(direct) {
			fmt.Fprintf(&b, "direct: the same service stopped and started again without Gapless: %s of %s lost\n", evidence.Count(r.Traffic.Lost), evidence.Count(r.Traffic.Requests))
		}
		for _, w := range r.Traffic.Warnings {
			warnings = append(warnings, fmt.Sprintf("%s %s: %s", r.Strategy, r.Service, w))
		}
	}
	if len(warnings) > 0 {
		fmt.Fprintln(&b, "warning: "+warnings[0])
	}
	if more := len(warnings) - 1; more > 0 {
		fmt.Fprintf(&b, "  and %d more, which -o json and --report tell\n", more)
	}
	if sum.Requests > 0 {
		_, sentence := evidence.LossBound(sum.Requests, sum.Lost)
		colour := c.Good
		if sum.Lost > 0 {
			colour = c.Bad
		}
		fmt.Fprintf(&b, "%s\n", colour(strings.Join(names, ", ")+": "+sentence))
	}
	return b.String()
}

type jsonRun struct {
	Strategy     string          `json:"strategy"`
	Service      string          `json:"service"`
	Requests     int             `json:"requests"`
	Lost         int             `json:"lost"`
	LongestGapMs evidence.Millis `json:"longestGapMs"`
	// DurationMs is from the deploy to the end of the rollout.
	DurationMs evidence.Millis  `json:"durationMs"`
	Versions   map[string]int   `json:"versions"`
	Verdict    evidence.Verdict `json:"verdict"`
	Losses     map[string]int   `json:"losses,omitempty"`
	OverTime   string           `json:"overTime"`
	Warnings   []string         `json:"warnings,omitempty"`
}

func writeJSON(w io.Writer, results []Result) error {
	out := struct {
		Runs []jsonRun `json:"runs"`
	}{Runs: []jsonRun{}}
	for _, r := range results {
		t := r.Traffic
		out.Runs = append(out.Runs, jsonRun{
			r.Strategy, r.Service, t.Requests, t.Lost, t.LongestGap, evidence.Millis(r.Duration),
			t.Versions, t.Verdict, t.Losses, t.Sparkline(sparkCells), t.Warnings,
		})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// reportFile is the file of --report; nil when there is none.
type reportFile struct {
	*os.File
	format string
}

// openReport is called before the runs: two minutes of load are not to be lost to a typing error.
func openReport(name string) (*reportFile, error) {
	if name == "" {
		return nil, nil
	}
	format := map[string]string{".html": "html", ".json": "json", ".txt": "table"}[strings.ToLower(filepath.Ext(name))]
	if format == "" {
		return nil, exit.Usagef("--report is %s: end the name in .html, .json or .txt", strconv.Quote(name))
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	return &reportFile{f, format}, nil
}

func (f *reportFile) write(o *Options, results []Result) error {
	if f == nil {
		return nil
	}
	return errors.Join(write(f, f.format, o, results, paint.Palette{}), f.Close())
}
