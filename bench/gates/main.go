// Command gates measures the comparison of a candidate with stable: how often healthy pairs are called worse, and how soon worse ones
// are. All follows from fixed seeds.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"

	"gapless.dev/gapless/internal/gate/compare/comparetest"
)

func main() {
	pairs := flag.Int("pairs", 1000, "how many pairs of each family to play")
	flag.Parse()
	fmt.Printf("%d pairs of each family, %d bins of 5 s, looked at after each bin.\n\n", *pairs, comparetest.Bins)
	worst := falseAlarms("Healthy pairs", comparetest.Healthy(), *pairs)
	falseAlarms("Healthy pairs beyond what is promised", comparetest.Beyond(), *pairs)
	detection(comparetest.Worse(), *pairs)
	if worst > 1 {
		fmt.Fprintf(os.Stderr, "of one kind of healthy pairs %.2f %% were called worse; 1 %% is what is promised\n", worst)
		os.Exit(1)
	}
}

// falseAlarms returns the share of the worst kind, in percent.
func falseAlarms(title string, families []comparetest.Family, pairs int) (worst float64) {
	fmt.Printf("## %s\n\n| called worse at any look | pair |\n|---|---|\n", title)
	all := 0
	for _, f := range families {
		n := 0
		for _, bin := range play(f, pairs) {
			if bin > 0 {
				n++
			}
		}
		all += n
		worst = max(worst, percent(n, pairs))
		fmt.Printf("| %.2f %% | %s |\n", percent(n, pairs), f.Name)
	}
	fmt.Printf("| **%.2f %%** | all %d |\n\n", percent(all, pairs*len(families)), pairs*len(families))
	return worst
}

// detection prints the share of worse candidates that are found within so many seconds of measuring.
func detection(families []comparetest.Family, pairs int) {
	marks := []int{3, 4, 5, 6, 9, 12, 24, 60}
	fmt.Print("## Worse candidates\n\n| pair | half are found within |")
	for _, m := range marks {
		fmt.Printf(" %d s |", 5*m)
	}
	fmt.Print("\n|---|---|")
	for range marks {
		fmt.Print("---|")
	}
	fmt.Println()
	for _, f := range families {
		found := play(f, pairs)
		slices.SortFunc(found, func(a, b int) int { return never(a) - never(b) })
		half := "not in 300 s"
		if m := found[len(found)/2]; m > 0 {
			half = fmt.Sprintf("%d s", 5*m)
		}
		fmt.Printf("| %s | %s |", f.Name, half)
		for _, m := range marks {
			n, _ := slices.BinarySearchFunc(found, m+1, func(at, want int) int { return never(at) - want })
			fmt.Printf(" %.1f %% |", percent(n, pairs))
		}
		fmt.Println()
	}
}

// never sorts what was not found behind everything else.
func never(bin int) int {
	if bin == 0 {
		return comparetest.Bins + 1
	}
	return bin
}

func percent(n, of int) float64 { return 100 * float64(n) / float64(of) }

// play tells for each pair of a family in which bin it was called worse; 0: in none.
func play(f comparetest.Family, pairs int) []int {
	found := make([]int, pairs)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < pairs; i += workers {
				found[i] = f.Found(uint64(i+1), comparetest.Bins)
			}
		})
	}
	wg.Wait()
	return found
}
