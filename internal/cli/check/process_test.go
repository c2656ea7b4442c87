package check

import (
	"strings"
	"testing"

	"gapless.dev/kit/kittest"
)

func TestRepeat_SaysWhereItStopsLessOftenThanTheContract(t *testing.T) {
	for _, test := range []struct {
		name        string
		quick       bool
		stops, port int
		says        string
	}{
		{"port told", false, 0, 0, "under load 5 times, at the edge 5 times (the contract: 5 and 20;"},
		{"port fixed", false, 0, 8080, "under load 3 times, at the edge 3 times (the contract"},
		{"quick", true, 0, 8080, "under load once, at the edge once (the contract"},
		{"as often as the contract says", false, 20, 8080, "under load 20 times, at the edge 20 times"},
	} {
		p := &process{o: &Options{flags: flags{quick: test.quick}}}
		s := kittest.Spec{Stops: test.stops, Edges: test.stops}
		p.repeat(&s, &kittest.Command{Port: test.port})
		if got := often(s); !strings.Contains(got, test.says) || strings.Contains(got, "contract") != strings.Contains(test.says, "contract") {
			t.Errorf("%s: %q, want %q", test.name, got, test.says)
		}
	}
}
