package routers_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// How far something was verified.
const (
	toObjects      = "objects"       // the API server took them, and they were put back
	toControlPlane = "control plane" // and what would be told to proxies was read back
	toDataPlane    = "data plane"    // and answers to real requests showed it
)

// abilities are the columns of the table in docs/reference/routers.md.
var abilities = []string{"blue-green", "weights", "header", "cookie", "users", "mirror"}

var proved = struct {
	sync.Mutex
	to map[string]map[string]string // by router and ability
}{to: map[string]map[string]string{}}

// proves notes what a story that passes has shown.
func proves(t *testing.T, router, to string, what ...string) {
	t.Helper()
	if t.Failed() {
		return
	}
	proved.Lock()
	defer proved.Unlock()
	if proved.to[router] == nil {
		proved.to[router] = map[string]string{}
	}
	for _, ability := range what {
		if !slices.Contains(abilities, ability) {
			t.Errorf("no ability %s", ability)
		}
		proved.to[router][ability] = to
	}
}

var update = flag.Bool("update", false, "write what is shown into docs/reference/routers.md: a cell each, or with SOAK=1 and without -test.run the whole table")

// page holds the table between two comments.
const page, begins, ends = "../../../docs/reference/routers.md", "<!-- verified -->\n", "<!-- end of verified -->\n"

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); !soak && f.Value.String() == f.DefValue {
		_ = f.Value.Set("3") // most of a story is waiting
	}
	code := m.Run()
	if len(proved.to) > 0 {
		fmt.Printf("verified to:\n%s", table(proved.to))
		if err := compare(); err != nil {
			fmt.Println("FAIL:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// compare tells what the page says otherwise than the stories have shown, or has it say the same.
func compare() error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, has := strings.Cut(string(text), begins)
	written, after, also := strings.Cut(rest, ends)
	if !has || !also {
		return fmt.Errorf("%s has no %q and %q", page, begins, ends)
	}
	all := parse(written)
	if *update && soak && flag.Lookup("test.run").Value.String() == "" {
		clear(all)
	}
	var other []string
	for _, router := range slices.Sorted(maps.Keys(proved.to)) {
		if all[router] == nil {
			all[router] = map[string]string{}
		}
		for ability, to := range proved.to[router] {
			if all[router][ability] != to {
				other = append(other, fmt.Sprintf("%s, %s: %q, and it was shown to %q", router, ability, all[router][ability], to))
			}
			all[router][ability] = to
		}
	}
	if *update {
		return os.WriteFile(page, []byte(before+begins+table(all)+ends+after), 0o644)
	}
	if len(other) > 0 {
		return fmt.Errorf("%s is not what the stories show; print it again with -update:\n%s", page, strings.Join(other, "\n"))
	}
	return nil
}

// table of what was shown, a row a router.
func table(to map[string]map[string]string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "| router | %s |\n|%s\n", strings.Join(abilities, " | "), strings.Repeat("---|", len(abilities)+1))
	for _, router := range slices.Sorted(maps.Keys(to)) {
		cells := []string{router}
		for _, ability := range abilities {
			cells = append(cells, to[router][ability])
		}
		fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | "))
	}
	return out.String()
}

// parse reads such a table.
func parse(text string) map[string]map[string]string {
	to := map[string]map[string]string{}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if i < 2 || len(cells) != len(abilities)+1 {
			continue
		}
		router := strings.TrimSpace(cells[0])
		to[router] = map[string]string{}
		for n, ability := range abilities {
			if cell := strings.TrimSpace(cells[n+1]); cell != "" {
				to[router][ability] = cell
			}
		}
	}
	return to
}
