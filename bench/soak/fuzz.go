package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

// A target is a fuzz test.
type target struct{ pkg, name string }

// executed is what `go test -fuzz` says of itself now and then.
var executed = regexp.MustCompile(`execs: (\d+)`)

// fuzzed runs each fuzz test of the repository for so long, one after the other: each takes all CPUs. What falls is an error, and the input
// that did it is left in testdata by go test.
func fuzzed(ctx context.Context, out *strings.Builder, each time.Duration) error {
	if each == 0 {
		return nil
	}
	targets, err := fuzzTargets(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n## Readers of what others write, fuzzed: %v each\n\n", each)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "| test\t| package\t| inputs\t| \t|\n|---\t|---\t|---\t|---\t|\n")
	var failed error
	for _, t := range targets {
		fmt.Fprintf(os.Stderr, "%s %s of %s, %v\n", time.Now().Format(time.TimeOnly), t.name, t.pkg, each)
		text, err := exec.CommandContext(ctx, "go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+each.String(), "-timeout=0", t.pkg).CombinedOutput()
		inputs, verdict := "?", "nothing fell"
		if all := executed.FindAllStringSubmatch(string(text), -1); len(all) > 0 {
			inputs = all[len(all)-1][1]
		}
		if err != nil {
			verdict = "FELL"
			failed = errors.Join(failed, fmt.Errorf("%s of %s: %w\n%s", t.name, t.pkg, err, text))
		}
		fmt.Fprintf(w, "| %s\t| %s\t| %s\t| %s\t|\n", t.name, strings.TrimPrefix(t.pkg, "gapless.dev/"), inputs, verdict)
	}
	w.Flush()
	return failed
}

// fuzzTargets asks every package of the workspace for its fuzz tests.
func fuzzTargets(ctx context.Context) (targets []target, err error) {
	list := exec.CommandContext(ctx, "go", "list", "-f", "{{.ImportPath}} {{.Dir}}{{range .TestGoFiles}} {{.}}{{end}}{{range .XTestGoFiles}} {{.}}{{end}}", "./...", "./kit/...")
	list.Stderr = os.Stderr
	text, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages: %w", err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		words := strings.Fields(line)
		for _, file := range words[2:] {
			code, err := os.ReadFile(words[1] + "/" + file)
			if err != nil {
				return nil, err
			}
			for _, m := range fuzzName.FindAllStringSubmatch(string(code), -1) {
				targets = append(targets, target{words[0], m[1]})
			}
		}
	}
	return targets, nil
}

var fuzzName = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
