package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// wrapped stops each kind of wrapped service as often as asked, under load. The test itself adds a row a kind, and fails when one lost
// a request.
func wrapped(ctx context.Context, out *strings.Builder, shutdowns, parallel int, before []string) error {
	fmt.Fprintf(os.Stderr, "%s wrapped services, %d shutdowns of each\n", time.Now().Format(time.TimeOnly), shutdowns)
	rows, err := rowsOf(ctx, "internal/wrap", before, "-test.run=Shutdown", "-shutdowns="+strconv.Itoa(shutdowns), "-rate=300", "-test.parallel="+strconv.Itoa(parallel))
	fmt.Fprintf(out, "\n## Wrapped services: stopped under 300 requests a second, until the end of the drain\n\n"+
		"| service | shutdowns that lost 0 | requests | lost | cut and reported, of those that outlive the grace period | met a GOAWAY (HTTP/2), safe to send again |\n"+
		"|---|---|---|---|---|---|\n%s", rows)
	return err
}

// contract judges the demo service by the contract, with as many stops as that asks for. The test itself adds a row a rule.
func contract(ctx context.Context, out *strings.Builder, before []string) error {
	const stops, edges = 5, 20
	fmt.Fprintf(os.Stderr, "%s the demo service by the contract\n", time.Now().Format(time.TimeOnly))
	rows, err := rowsOf(ctx, "examples/api-status", before, "-test.run=KeepsTheContract", "-stops="+strconv.Itoa(stops), "-edges="+strconv.Itoa(edges))
	fmt.Fprintf(out, "\n## The demo service by the contract: stopped %d times under load, %d times at the edge\n\n"+
		"| rule | | seen | |\n|---|---|---|---|\n%s", stops, edges, rows)
	return err
}

// rowsOf runs the tests of a package, and returns the rows that they add to a table, also when they fail.
func rowsOf(ctx context.Context, pkg string, before []string, args ...string) (string, error) {
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	test, table := filepath.Join(dir, filepath.Base(pkg)+".test"), filepath.Join(dir, "table.md")
	if said, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", test, "./"+pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, said)
	}
	command := append(slices.Concat(before, []string{test, "-test.timeout=24h", "-table=" + table}), args...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = pkg
	said, failed := cmd.CombinedOutput()
	rows, err := os.ReadFile(table)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w\n%s", pkg, err, said)
	case failed != nil:
		return string(rows), fmt.Errorf("%s: %w\n%s", pkg, failed, said)
	}
	return string(rows), nil
}
