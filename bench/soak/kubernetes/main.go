// Kubernetes tells every story of the real cluster, every cell of each matrix, as often as asked, and writes one table, to be committed in
// bench/results. It asserts nothing of its own: a row says how many runs of how many lost nothing.
//
//	go run ./bench/soak/kubernetes -runs 1               tell them, as root, and write the table
//	go run ./bench/soak/kubernetes -rows FILE            write the table of rows that were counted before, a line of JSON each
//	go run ./bench/soak/kubernetes -name routers routers the same for stories of other folders, in a table with a name of its own
package main

import (
	"bufio"
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
	"strings"
	"time"
)

// A row is what test/e2e/world writes of one rollout under load.
type row struct {
	Table        string         `json:"table"`
	Strategy     string         `json:"strategy"`
	Service      string         `json:"service"`
	Via          string         `json:"via"`
	What         string         `json:"what"`
	Requests     int            `json:"requests"`
	Lost         int            `json:"lost"`
	LongestGapMs float64        `json:"longestGapMs"`
	Losses       map[string]int `json:"losses"`
	Failed       bool           `json:"failed"`
	Notes        []string       `json:"notes"`
}

type cell struct{ table, strategy, service, via, what string }

type sum struct {
	cell
	runs, clean, failed, requests, lost int
	worstGapMs                          float64
	losses                              map[string]int
	notes                               []string
}

// loads are how the requests of a table are made.
var loads = map[string]string{
	"kubernetes": "300 requests a second; prepared: half on new connections; naive: all on new ones; 30 % POST",
	"gates":      "100 to 300 requests a second, new connections; nothing may be lost but the errors that a candidate answers on purpose",
	"homework":   "300 requests a second, half on new connections; a fifth POST, but to nginx",
	"routers":    "300 requests a second through the router, half on new connections and half on kept-alive ones; 30 % POST; each attempted once",
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := soak(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

type files []string

func (f *files) String() string     { return strings.Join(*f, ",") }
func (f *files) Set(s string) error { *f = append(*f, s); return nil }

func soak(ctx context.Context) error {
	var counted files
	runs := flag.Int("runs", 1, "how often all stories are told")
	version := flag.String("k8s", "", "`version` of Kubernetes (default that of test/cluster)")
	dir := flag.String("dir", "bench/results", "where the table goes")
	name := flag.String("name", "kubernetes", "what the table is called")
	flag.Var(&counted, "rows", "`file` of rows that were counted before; nothing is told then. May be said several times")
	flag.Parse()
	stories := flag.Args()
	if len(stories) == 0 {
		stories = []string{"follow", "gates", "habits", "homework", "kube", "scenes", "slow"}
	}

	var failed error
	if len(counted) == 0 {
		work, err := os.MkdirTemp("", "soak")
		if err != nil {
			return err
		}
		defer os.RemoveAll(work)
		path := filepath.Join(work, "rows")
		for n := range *runs {
			fmt.Fprintf(os.Stderr, "%s all stories, %d of %d\n", time.Now().Format(time.TimeOnly), n+1, *runs)
			cmd := exec.CommandContext(ctx, "test/e2e/run", stories...)
			cmd.Env = append(os.Environ(), "SOAK=1", "GAPLESS_ROWS="+path, "K8S="+*version)
			cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
			failed = errors.Join(failed, cmd.Run())
		}
		counted = files{path}
	}
	sums, err := read(counted)
	if err != nil {
		return errors.Join(failed, err)
	}
	date := time.Now().UTC().Format("2006-01-02")
	file := filepath.Join(*dir, date+"-"+*name+".md")
	if *version != "" {
		file = filepath.Join(*dir, date+"-"+*name+"-"+*version+".md")
	}
	told := fmt.Sprintf("%s. Told by `SOAK=1 test/e2e/run %s`", loads[*name], strings.Join(stories, " "))
	if err := os.WriteFile(file, []byte(page(date, *version, told, sums)), 0o644); err != nil {
		return err
	}
	fmt.Println("wrote", file)
	return failed
}

func read(paths []string) ([]sum, error) {
	sums := map[cell]*sum{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var r row
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			key := cell{r.Table, r.Strategy, r.Service, r.Via, r.What}
			if sums[key] == nil {
				sums[key] = &sum{cell: key, losses: map[string]int{}}
			}
			sums[key].add(r)
		}
	}
	var all []sum
	for _, s := range sums {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(x, y sum) int {
		return strings.Compare(fmt.Sprint(x.cell), fmt.Sprint(y.cell))
	})
	return all, nil
}

func (s *sum) add(r row) {
	s.runs++
	if r.Lost == 0 && !r.Failed {
		s.clean++
	}
	if r.Failed {
		s.failed++
	}
	s.requests += r.Requests
	s.lost += r.Lost
	s.worstGapMs = max(s.worstGapMs, r.LongestGapMs)
	s.notes = append(s.notes, r.Notes...)
	for class, n := range r.Losses {
		s.losses[class] += n
	}
}

// failedStories is the table that test/e2e/world adds a story to that failed, whether it had counted anything or not.
const failedStories = "stories that failed"

func page(date, version, told string, sums []sum) string {
	var out strings.Builder
	if version == "" {
		version = "of test/cluster"
	}
	fmt.Fprintf(&out, "# Stories on Kubernetes, %s\n\n%s/%s, %d cores, %s. Kubernetes %s, two nodes. %s, counted by `go run ./bench/soak/kubernetes`.\n",
		date, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), version, told)
	clean, runs, requests, lost, bad := 0, 0, 0, 0, 0
	for _, s := range sums {
		if s.table == failedStories {
			bad += s.runs
			continue
		}
		clean, runs, requests, lost = clean+s.clean, runs+s.runs, requests+s.requests, lost+s.lost
	}
	fmt.Fprintf(&out, "\n%d of %d rollouts lost nothing and ended as they should; %d of %d requests were lost; %d stories failed.\n", clean, runs, lost, requests, bad)
	table := ""
	for _, s := range sums {
		if s.table != table {
			table = s.table
			fmt.Fprintf(&out, "\n## %s\n\n| strategy | service | by way of | what happened | runs that lost 0 | requests | lost | longest gap | losses, and what was seen |\n|---|---|---|---|---|---|---|---|---|\n", table)
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %d of %d | %d | %d | %.0f ms | %s |\n",
			s.strategy, s.service, s.via, s.what, s.clean, s.runs, s.requests, s.lost, s.worstGapMs, strings.Join(append(classes(s.losses), s.notes...), "; "))
	}
	return out.String()
}

func classes(losses map[string]int) []string {
	var parts []string
	for class, n := range losses {
		parts = append(parts, fmt.Sprintf("%s %d", class, n))
	}
	slices.Sort(parts)
	return parts
}
