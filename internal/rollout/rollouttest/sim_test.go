package rollouttest

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gapless.dev/gapless/internal/rollout"
	diff "github.com/google/go-cmp/cmp"
)

var (
	schedules = flag.Uint64("schedules", fromEnv("SCHEDULES", 20_000), "how many worlds to play; also by SCHEDULES")
	from      = flag.Uint64("from", 1, "the seed of the first world")
	_         = flag.Bool("update", false, "nothing to update here; the packages beside this one know the flag")
	seed      = flag.Uint64("seed", fromEnv("SEED", 0), "play only the world of this seed, and print its trace; also by SEED")
)

func fromEnv(name string, otherwise uint64) uint64 {
	n, err := strconv.ParseUint(os.Getenv(name), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}

// TestEngine_KeepsItsPromisesInEveryWorld plays worlds until one breaks a rule.
func TestEngine_KeepsItsPromisesInEveryWorld(t *testing.T) {
	if *seed != 0 {
		replay(t, *seed)
		return
	}
	if broken := firstBroken(*from, *schedules); broken != 0 {
		replay(t, broken)
	}
}

// firstBroken plays worlds on all cores and returns the lowest seed that was found broken, or 0.
func firstBroken(from, n uint64) uint64 {
	var next, broken atomic.Uint64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for broken.Load() == 0 {
				s := from + next.Add(1) - 1
				if s >= from+n {
					return
				}
				if Run(s, Right, false) != nil {
					broken.CompareAndSwap(0, s)
				}
			}
		})
	}
	wg.Wait()
	return broken.Load()
}

func replay(t *testing.T, seed uint64) {
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
	const within = 20_000
	for _, e := range Broken {
		t.Run(e.Name, func(t *testing.T) {
			for s := uint64(1); s <= within; s++ {
				if f := Run(s, e, false); f != nil {
					t.Logf("caught after %d schedules: %s: %s", s, f.Rule, f.What)
					return
				}
			}
			t.Fatalf("not caught in %d schedules", within)
		})
	}
}

// TestWorld_FollowsFromItsSeed plays some worlds twice.
func TestWorld_FollowsFromItsSeed(t *testing.T) {
	for s := uint64(1); s < 100; s++ {
		if d := diff.Diff(Run(s, Broken[0], true), Run(s, Broken[0], true)); d != "" {
			t.Fatalf("seed %d differs from itself:\n%s", s, d)
		}
	}
}

// TestWorlds_GoEverywhere shows that nothing is promised of worlds that never happen: every strategy comes through every phase by
// both splits, every action is carried out, and every reason to go back occurs.
func TestWorlds_GoEverywhere(t *testing.T) {
	counts := map[string]int{}
	for s := uint64(1); s <= 3000; s++ {
		w := newWorld(s, Right, false)
		w.counts = counts
		w.play()
	}
	var want []string
	for _, strategy := range strategies {
		for _, split := range []rollout.Split{rollout.ByWeight, rollout.ByShare} {
			for _, p := range []rollout.Phase{rollout.Idle, rollout.Held, rollout.Preparing, rollout.Promoting, rollout.Aborting} {
				want = append(want, string(strategy)+" "+string(split)+" "+string(p))
			}
			if strategy != rollout.Recreate { // there it is over within one look
				want = append(want, string(strategy)+" "+string(split)+" "+string(rollout.Finishing))
			}
			if strategy == rollout.Rolling || strategy == rollout.Canary {
				want = append(want, string(strategy)+" "+string(split)+" "+string(rollout.Shifting))
			}
		}
	}
	for _, k := range []rollout.ActionKind{rollout.Scale, rollout.SetRoute, rollout.WriteBack, rollout.Remove, rollout.Release} {
		want = append(want, "action "+string(k))
	}
	for _, r := range []string{
		rollout.ReasonAbortOrdered, rollout.ReasonDeadlineExceeded, rollout.ReasonCandidateLost,
		rollout.ReasonSuperseded, rollout.ReasonTemplateWentBack, rollout.ReasonTemplateNotTaken, rollout.ReasonCandidateUnwanted,
		rollout.ReasonGateFailed, rollout.ReasonGateInconclusive,
	} {
		want = append(want, "reason "+r)
	}
	for _, m := range rollout.Moments {
		want = append(want, "asked "+string(m))
	}
	want = append(want, "waived", "rest in Idle", "rest in Held")
	for _, what := range want {
		if counts[what] == 0 {
			t.Errorf("%s: never happened", what)
		}
	}
}
