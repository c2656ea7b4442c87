package examples

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The example of gates, as its README says: a good version passes a gate of each kind and is promoted, a bad one goes back, and what a desk
// refuses does not begin.
func TestGates_PromoteAGoodVersionAndTakeABadOneBack(t *testing.T) {
	t.Parallel()
	if program("curl") == "" {
		t.Skip("smoke.sh needs curl")
	}
	dir, desk, web := t.TempDir(), free(t), free(t)
	text, err := os.ReadFile("../../examples/gates/gapless.yaml")
	if err != nil {
		t.Fatal(err)
	}
	smoke, err := filepath.Abs("../../examples/gates/smoke.sh")
	if err != nil {
		t.Fatal(err)
	}
	file := strings.NewReplacer("../../bin/api-status", built("api-status"), "127.0.0.1:9900", desk, "8080", web[strings.LastIndex(web, ":")+1:],
		"./smoke.sh", smoke, "pause: 10s", "pause: 2s", "      - {weight: 50, pause: 10s}\n", "").Replace(string(text))
	if err := os.WriteFile(filepath.Join(dir, "gapless.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	command := func(ctx context.Context, name string, args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, name, args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "GAPLESS_SOCKET="+filepath.Join(dir, "s"))
		return c
	}
	// What is started is interrupted once, at the end: a second time would have it leave its processes behind.
	starts := func(name string, args ...string) {
		c := command(context.Background(), name, args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = c.Process.Signal(os.Interrupt)
			_ = c.Wait()
		})
	}
	gapless := func(code int, says string, args ...string) {
		t.Helper()
		c := command(ctx, built("gapless"), args...)
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		began := time.Now()
		_ = c.Run()
		t.Logf("gapless %s: %s", strings.Join(args, " "), time.Since(began).Round(100*time.Millisecond))
		if c.ProcessState.ExitCode() != code || !strings.Contains(out.String(), says) {
			t.Errorf("gapless %s: exit code %d, want %d and %q:\n%s", strings.Join(args, " "), c.ProcessState.ExitCode(), code, says, &out)
		}
	}
	answers := func(addr string) {
		t.Helper()
		for ctx.Err() == nil {
			c, err := net.DialTimeout("tcp", addr, time.Second)
			if err == nil {
				c.Close()
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatal(ctx.Err())
	}
	starts(built("gates/desk"), "-addr", desk)
	starts(built("gapless"), "up", "-q")
	answers(desk)
	answers(web)
	gapless(0, "1.0.0 serves", "status", "demo-api", "--wait")
	gapless(0, "2.0.0 serves", "deploy", "demo-api", "2.0.0", "--wait")
	for _, gate := range []string{"hours", "desk", "probe", "smoke"} {
		gapless(0, gate, "report", "demo-api", "--revision", "latest")
	}
	gapless(1, "gate probe", "deploy", "demo-api", "3.0.0", "--wait")
	gapless(0, "2.0.0 serves", "status", "demo-api")
}

// free is an address that nobody listens on now.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
