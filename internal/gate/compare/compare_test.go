package compare_test

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gapless.dev/gapless/internal/gate/compare"
	"gapless.dev/gapless/internal/gate/compare/comparetest"
)

var pairs = flag.Int("pairs", fromEnv(), "how many healthy pairs to play, of all families together; also by PAIRS")

func fromEnv() int {
	if n, err := strconv.Atoi(os.Getenv("PAIRS")); err == nil {
		return n
	}
	return 10_000
}

// called plays pairs of a family and counts those that are called worse within some bins, at any look.
func called(f comparetest.Family, pairs, within int) int {
	var found, next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1); seed <= int64(pairs); seed = next.Add(1) {
				if f.Found(uint64(seed), within) > 0 {
					found.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return int(found.Load())
}

// The seeds are fixed: this fails when the method changes, and never by chance.
func TestJudge_CallsHealthyPairsWorseOnceInAHundredAtMost(t *testing.T) {
	families := comparetest.Healthy()
	each, all := *pairs/len(families), 0
	for _, f := range families {
		n := called(f, each, comparetest.Bins)
		all += n
		// Of few pairs a rate of 1 % may show more than 1 %: four standard deviations are allowed.
		if limit := 0.01*float64(each) + 4*math.Sqrt(0.01*float64(each)); float64(n) > limit {
			t.Errorf("%s: %d of %d healthy pairs were called worse", f.Name, n, each)
		}
	}
	if total := each * len(families); 100*all > total {
		t.Errorf("%d of %d healthy pairs were called worse", all, total)
	} else {
		t.Logf("%d of %d healthy pairs were called worse", all, total)
	}
}

func TestJudge_FindsTwoPercentAtATenthOfTheTrafficWithinFiveScrapes(t *testing.T) {
	f := comparetest.Family{Rate: 300, Share: 0.1, Seconds: 5, Law: comparetest.Even(0, 0.02)}
	if n := called(f, 1000, 5); n < 950 {
		t.Errorf("%d of 1000 were found within 25 s", n)
	}
}

func TestJudge_SaysWhatItRestsOn(t *testing.T) {
	bin := func(stableTotal, stableBad, total, bad float64) compare.Bin {
		return compare.Bin{Stable: compare.Count{Total: stableTotal, Bad: stableBad}, Candidate: compare.Count{Total: total, Bad: bad}}
	}
	repeat := func(n int, b compare.Bin) []compare.Bin {
		var all []compare.Bin
		for range n {
			all = append(all, b)
		}
		return all
	}
	for name, test := range map[string]struct {
		reason string
		bins   []compare.Bin
		want   compare.Verdict
	}{
		"nothing":           {"nothing was counted", nil, compare.Open},
		"small traffic":     {"a few good answers prove nothing", repeat(10, bin(9, 0, 1, 0)), compare.Open},
		"one bad moment":    {"a burst in one bin is one event", append(repeat(10, bin(1350, 0, 150, 0)), bin(1350, 0, 150, 150)), compare.Open},
		"never at a time":   {"requests of different times are not compared", append(repeat(9, bin(100, 0, 0, 0)), repeat(9, bin(0, 0, 100, 50))...), compare.Open},
		"enough and good":   {"600 requests without an error are not one in a hundred", repeat(6, bin(900, 0, 100, 0)), compare.Good},
		"two bins":          {"two bins are a moment, however many requests they hold", repeat(2, bin(9000, 0, 9000, 0)), compare.Open},
		"all bad":           {"everything fails in the candidate", repeat(4, bin(900, 0, 100, 100)), compare.Worse},
		"as bad as stable":  {"both fail alike", repeat(30, bin(9000, 900, 1000, 100)), compare.Good},
		"better than it":    {"stable fails and the candidate does not", repeat(30, bin(900, 90, 100, 0)), compare.Good},
		"twice as bad":      {"twice as many fail, steadily", repeat(60, bin(900, 45, 100, 10)), compare.Worse},
		"nothing to beat":   {"every request of both is bad: the candidate cannot be shown to be good", repeat(30, bin(900, 900, 100, 100)), compare.Open},
		"candidate is most": {"also where the candidate has most of the traffic", repeat(30, bin(100, 0, 900, 90)), compare.Worse},
	} {
		f := compare.Judge(compare.Rule{}, test.bins)
		if f.Verdict != test.want {
			t.Errorf("%s: %s: %s: %+v", name, test.reason, f, f)
		}
	}
}

func TestJudge_DoesNotCallWorseByTheToleranceGood(t *testing.T) {
	f := comparetest.Family{Rate: 300, Share: 0.1, Seconds: 5, Law: comparetest.Even(0.01, 0.02)}
	good := 0
	for seed := range uint64(1000) {
		pair := f.Pair(seed, comparetest.Bins)
		for n := 1; n <= len(pair); n++ {
			if compare.Judge(compare.Rule{}, pair[:n]).Verdict == compare.Good {
				good++
				break
			}
		}
	}
	if good > 50 {
		t.Errorf("%d of 1000 candidates with 2 %% bad beside 1 %% were called good at some look", good)
	} else {
		t.Logf("%d of 1000 candidates with 2 %% bad beside 1 %% were called good at some look", good)
	}
}

func TestRecord_KeepsWhatWasCountedWhenItGetsWider(t *testing.T) {
	r := compare.Record{Width: 5 * time.Second}
	start := time.Unix(1_000_003, 0)
	const seconds = 4000
	for i := range seconds {
		r.Add(start.Add(time.Duration(i)*time.Second), compare.Bin{Stable: compare.Count{Total: 9, Bad: 1}, Candidate: compare.Count{Total: 1}})
	}
	if len(r.Bins) > 120 {
		t.Errorf("%d bins are kept", len(r.Bins))
	}
	var sum compare.Count
	for _, b := range r.Until(start.Add(2 * seconds * time.Second)) {
		sum.Total += b.Stable.Total
		sum.Bad += b.Stable.Bad
	}
	if sum.Total != 9*seconds || sum.Bad != seconds {
		t.Errorf("%+v", sum)
	}
	if n := len(r.Until(start.Add(seconds * time.Second))); n >= len(r.Bins) {
		t.Errorf("the bin that still fills is judged: %d of %d", n, len(r.Bins))
	}

	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again compare.Record
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, again); diff != "" {
		t.Error(diff)
	}
	if len(text) > 4096 {
		t.Errorf("a full record takes %d bytes", len(text))
	}
}

func TestRecord_DoesNotCountWhatLiesBeforeItsBeginning(t *testing.T) {
	r := compare.Record{Width: time.Second}
	one := compare.Bin{Candidate: compare.Count{Total: 1}, Stable: compare.Count{Total: 1}}
	r.Add(time.Unix(100, 0), one)
	r.Add(time.Unix(90, 0), one)
	if bins := r.Until(time.Unix(200, 0)); len(bins) != 1 || bins[0] != one {
		t.Errorf("%+v", bins)
	}
}
