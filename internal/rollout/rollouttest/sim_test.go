package rollouttest

import (
	"flag"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// TestBroken_IsCaught shows that the worlds notice: each broken engine breaks a rule within the schedules.
func TestBroken_IsCaught(t *testing.T) {
	for _, e := range Broken {
		t.Run(e.Name, func(t *testing.T) {
			for s := uint64(1); s <= uint64(*schedules); s++ {
				if f := Run(s, e, false); f != nil {
					t.Logf("caught after %d schedules: %s: %s", s, f.Rule, f.What)
					return
				}
			}
			t.Fatalf("not caught in %d schedules", *schedules)
		})
	}
}

// TestWorld_FollowsFromItsSeed plays a world twice.
func TestWorld_FollowsFromItsSeed(t *testing.T) {
	broken := Broken[0]
	for s := uint64(1); s < 200; s++ {
		a, b := Run(s, broken, true), Run(s, broken, true)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Fatalf("seed %d differs from itself:\n%s", s, diff)
		}
	}
}
