package typed

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is more than any block takes.
const patience = 4 * time.Minute

// A Terminal is where somebody types. Its folder and its exported variables last from one block to the next.
type Terminal struct {
	t     testing.TB
	env   []string
	state string
}

// Open opens one in a folder, with variables as those of os.Environ.
func Open(t testing.TB, folder string, env []string) *Terminal {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(state, []byte("cd '"+folder+"'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &Terminal{t, env, state}
}

func (t *Terminal) command(ctx context.Context, text string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", "source '"+t.state+"'\n"+text)
	cmd.Env = t.env
	return cmd
}

// Types runs a block as it stands, and returns what it printed. A block that fails ends the test.
func (t *Terminal) Types(text string) string {
	t.t.Helper()
	ctx, stop := context.WithTimeout(t.t.Context(), patience)
	defer stop()
	out, err := t.command(ctx, text+"\n{ export -p; printf 'cd %q\\n' \"$PWD\"; } >'"+t.state+"'").CombinedOutput()
	t.t.Logf("$ %s\n%s", strings.TrimSpace(text), out)
	if err != nil {
		t.t.Fatalf("%s: %v", text, err)
	}
	return string(out)
}

// A Program is what runs in a terminal of its own.
type Program struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
	end func()
}

// Write takes what it prints.
func (p *Program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// Said is what it has printed so far.
func (p *Program) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// Ends types Ctrl-C, and returns all that it printed.
func (p *Program) Ends() string {
	p.end()
	return p.Said()
}

// Starts runs a block of one command line in another terminal, in the same folder. It ends with the test.
func (t *Terminal) Starts(text string) *Program {
	t.t.Helper()
	p := &Program{cmd: t.command(context.WithoutCancel(t.t.Context()), "exec "+text)}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.t.Fatal(err)
	}
	p.end = sync.OnceFunc(func() {
		_ = p.cmd.Process.Signal(syscall.SIGINT)
		_ = p.cmd.Wait() // its exit code tells of what it saw
		t.t.Logf("$ %s\n%s", strings.TrimSpace(text), p.Said())
	})
	t.t.Cleanup(p.end)
	return p
}
