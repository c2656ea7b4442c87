package rollouttest

import (
	"flag"
	"strings"
	"testing"
)

var (
	schedules = flag.Int("schedules", 20000, "how many worlds to play")
	seed      = flag.Uint64("seed", 0, "play only the world of this seed, and print its trace")
)

// TestEngine_KeepsItsPromisesInEveryWorld plays worlds until one breaks a rule.
func TestEngine_KeepsItsPromisesInEveryWorld(t *testing.T) {
	if *seed != 0 {
		play(t, *seed)
		return
	}
	for s := uint64(1); s <= uint64(*schedules); s++ {
		if Run(s, Right, false) != nil {
			play(t, s)
			return
		}
	}
}

func play(t *testing.T, seed uint64) {
	t.Helper()
	f := Run(seed, Right, true)
	if f == nil {
		t.Logf("seed %d: nothing is broken", seed)
		return
	}
	t.Fatalf("%v\n%s\nagain: go test ./internal/rollout/rollouttest -run %s -seed=%d", f, strings.Join(f.Trace, "\n"), t.Name(), seed)
}
