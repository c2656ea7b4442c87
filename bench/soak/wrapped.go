package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// wrapped stops each kind of wrapped service as often as asked, under load. The test itself adds a row a kind, and fails when one lost
// a request.
func wrapped(ctx context.Context, out *strings.Builder, shutdowns, parallel int, before []string) error {
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	test, table := filepath.Join(dir, "wrap.test"), filepath.Join(dir, "table.md")
	if said, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", test, "./internal/wrap").CombinedOutput(); err != nil {
		return fmt.Errorf("build the test of wrap: %w\n%s", err, said)
	}
	fmt.Fprintf(os.Stderr, "%s wrapped services, %d shutdowns of each\n", time.Now().Format(time.TimeOnly), shutdowns)
	args := append(before, test, "-test.run=Shutdown", "-test.timeout=24h", "-shutdowns="+strconv.Itoa(shutdowns), "-rate=300", "-test.parallel="+strconv.Itoa(parallel), "-table="+table)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = "internal/wrap"
	said, failed := cmd.CombinedOutput()
	rows, err := os.ReadFile(table)
	if err != nil {
		return fmt.Errorf("wrapped services: %w\n%s", err, said)
	}
	fmt.Fprintf(out, "\n## Wrapped services: stopped under 300 requests a second, until the end of the drain\n\n"+
		"| service | shutdowns that lost 0 | requests | lost | cut and reported, of those that outlive the grace period | met a GOAWAY (HTTP/2), safe to send again |\n"+
		"|---|---|---|---|---|---|\n%s", rows)
	if failed != nil {
		return fmt.Errorf("wrapped services: %w", failed)
	}
	return nil
}
