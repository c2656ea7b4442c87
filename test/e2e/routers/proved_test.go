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

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); !soak && f.Value.String() == f.DefValue {
		_ = f.Value.Set("3") // most of a story is waiting
	}
	code := m.Run()
	if len(proved.to) > 0 {
		fmt.Printf("verified to:\n| router | %s |\n|%s\n", strings.Join(abilities, " | "), strings.Repeat("---|", len(abilities)+1))
	}
	for _, router := range slices.Sorted(maps.Keys(proved.to)) {
		cells := []string{router}
		for _, ability := range abilities {
			cells = append(cells, proved.to[router][ability])
		}
		fmt.Printf("| %s |\n", strings.Join(cells, " | "))
	}
	os.Exit(code)
}
