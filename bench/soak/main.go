// Soak runs the full matrices and writes one table, to be committed in bench/results.
//
// It asserts nothing of its own: a row says how many runs of how many lost nothing, and the program exits with 1 when a strategy
// that must not lose a request lost one.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// A run is one line of `gapless demo -o json`.
type run struct {
	Strategy     string         `json:"strategy"`
	Service      string         `json:"service"`
	Requests     int            `json:"requests"`
	Lost         int            `json:"lost"`
	LongestGapMs float64        `json:"longestGapMs"`
	Losses       map[string]int `json:"losses"`
}

// A row sums up the runs of one cell of the matrix.
type row struct {
	strategy, service string
	runs, clean       int
	requests, lost    int
	worstGapMs        float64
	losses            map[string]int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := soak(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func soak(ctx context.Context) error {
	runs := flag.Int("runs", 20, "runs of each strategy and service")
	rate := flag.Int("rate", 300, "requests a second")
	schedules := flag.Int("schedules", 2_000_000, "schedules of the engine's simulator; 0 skips it")
	pairs := flag.Int("pairs", 10_000, "pairs of versions of each kind that are compared; 0 skips it")
	fuzz := flag.Duration("fuzz", 10*time.Minute, "how long each fuzz test looks for what falls; 0 skips them")
	only := flag.String("only", "demo,wrapped,contract,gates,fuzz,engine", "the `parts` to run, with commas")
	name := flag.String("name", "", "what the table is called besides its date")
	parallel := flag.Int("parallel", 1, "kinds of wrapped services that are stopped side by side; each has its own load")
	before := flag.String("before", "", "`command` to put before each demo, such as one that waits for its turn on a machine that others measure on")
	dir := flag.String("dir", "bench/results", "where the table goes")
	flag.Parse()

	var out strings.Builder
	date := time.Now().UTC().Format("2006-01-02")
	fmt.Fprintf(&out, "# Soak of %s\n\n%s/%s, %d cores, %s. Made by `go run ./bench/soak%s`.\n",
		date, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), said())

	first := strings.Fields(*before)
	var failed error
	for _, part := range strings.Split(*only, ",") {
		var err error
		switch part {
		case "demo":
			var rows []row
			rows, err = demos(ctx, *runs, *rate, first)
			writeRows(&out, rows, *rate)
			err = errors.Join(err, lostAny(rows))
		case "wrapped":
			err = wrapped(ctx, &out, *runs, *parallel, first)
		case "contract":
			err = contract(ctx, &out, first)
		case "gates":
			err = compared(ctx, &out, *pairs)
		case "fuzz":
			err = fuzzed(ctx, &out, *fuzz)
		case "engine":
			err = simulate(ctx, &out, *schedules)
		default:
			return fmt.Errorf("-only %s: there is no part %q; give some of demo, wrapped, contract, gates, fuzz and engine", *only, part)
		}
		failed = errors.Join(failed, err)
	}

	file := filepath.Join(*dir, date+".md")
	if *name != "" {
		file = filepath.Join(*dir, date+"-"+*name+".md")
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
		return err
	}
	fmt.Println("wrote", file)
	return failed
}

// said are the flags that differ from their defaults, as they were said; not those that are of this machine alone.
func said() (words string) {
	flag.Visit(func(f *flag.Flag) {
		if f.Name != "before" && f.Name != "dir" {
			words += " -" + f.Name + " " + f.Value.String()
		}
	})
	return words
}

// demos runs the demo over and over, one after the other: two loads at once would measure each other.
func demos(ctx context.Context, runs, rate int, before []string) ([]row, error) {
	build := exec.CommandContext(ctx, "go", "build", "-o", "bin/", "./cmd/gapless")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build gapless: %w", err)
	}
	cells := map[[2]string]*row{}
	for i := range runs {
		fmt.Fprintf(os.Stderr, "%s demo %d of %d\n", time.Now().Format(time.TimeOnly), i+1, runs)
		args := append(slices.Clone(before), "bin/gapless", "demo", "--rate", strconv.Itoa(rate), "-o", "json")
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		var stdout bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
		// Exit code 1 says that something was lost; that is a figure here, not an error.
		if err := cmd.Run(); err != nil && stdout.Len() == 0 {
			return sorted(cells), fmt.Errorf("demo %d: %w", i+1, err)
		}
		var doc struct{ Runs []run }
		if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil {
			return sorted(cells), fmt.Errorf("demo %d: %w", i+1, err)
		}
		for _, r := range doc.Runs {
			key := [2]string{r.Strategy, r.Service}
			if cells[key] == nil {
				cells[key] = &row{strategy: r.Strategy, service: r.Service, losses: map[string]int{}}
			}
			cells[key].add(r)
		}
	}
	return sorted(cells), nil
}

func (c *row) add(r run) {
	c.runs++
	if r.Lost == 0 {
		c.clean++
	}
	c.requests += r.Requests
	c.lost += r.Lost
	c.worstGapMs = max(c.worstGapMs, r.LongestGapMs)
	for class, n := range r.Losses {
		c.losses[class] += n
	}
}

var order = []string{"recreate", "rolling", "blue-green", "canary", "direct"}

func sorted(cells map[[2]string]*row) []row {
	var rows []row
	for _, c := range cells {
		rows = append(rows, *c)
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(slices.Index(order, a.strategy)-slices.Index(order, b.strategy), strings.Compare(a.service, b.service))
	})
	return rows
}

func writeRows(out *strings.Builder, rows []row, rate int) {
	fmt.Fprintf(out, "\n## One machine: %d requests a second, half on new connections\n\n", rate)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "| strategy\t| service\t| runs that lost 0\t| requests\t| lost\t| longest gap\t| losses\t|\n|---\t|---\t|---\t|---\t|---\t|---\t|---\t|\n")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s\t| %s\t| %d of %d\t| %d\t| %d\t| %.0f ms\t| %s\t|\n",
			r.strategy, r.service, r.clean, r.runs, r.requests, r.lost, r.worstGapMs, classes(r.losses))
	}
	w.Flush()
}

func classes(losses map[string]int) string {
	var parts []string
	for class, n := range losses {
		parts = append(parts, fmt.Sprintf("%s %d", class, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// compared adds how often healthy pairs of versions were called worse, and how soon worse ones were found.
func compared(ctx context.Context, out *strings.Builder, pairs int) error {
	if pairs == 0 {
		return nil
	}
	fmt.Fprintf(os.Stderr, "%s %d pairs of each kind are compared\n", time.Now().Format(time.TimeOnly), pairs)
	cmd := exec.CommandContext(ctx, "go", "run", "./bench/gates", "-pairs", strconv.Itoa(pairs))
	cmd.Stderr = os.Stderr
	said, err := cmd.Output()
	fmt.Fprintf(out, "\n# Versions compared\n\n%s", said)
	return err
}

// simulate has the engine go through as many schedules as asked.
func simulate(ctx context.Context, out *strings.Builder, schedules int) error {
	if schedules == 0 {
		return nil
	}
	fmt.Fprintf(os.Stderr, "%s %d schedules of the engine\n", time.Now().Format(time.TimeOnly), schedules)
	began := time.Now()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=24h", "./internal/rollout/rollouttest", "-args", "-schedules="+strconv.Itoa(schedules))
	said, err := cmd.CombinedOutput()
	verdict := "every invariant held after every step"
	if err != nil {
		verdict = "FAILED:\n\n```\n" + string(said) + "\n```"
	}
	fmt.Fprintf(out, "\n## The engine: %d schedules\n\n%d schedules in %s: %s\n", schedules, schedules, time.Since(began).Round(time.Second), verdict)
	return err
}

func lostAny(rows []row) error {
	var errs []error
	for _, r := range rows {
		if r.lost > 0 && r.strategy != "recreate" && r.strategy != "direct" {
			errs = append(errs, fmt.Errorf("%s of the %s service lost %d of %d requests", r.strategy, r.service, r.lost, r.requests))
		}
	}
	return errors.Join(errs...)
}
