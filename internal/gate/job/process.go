package job

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Processes runs tasks as processes of this machine. They do not outlive it: after a restart a task is run once more from its beginning.
type Processes struct {
	// Dir they are started in; empty: the present one.
	Dir string

	mu      sync.Mutex
	running map[string]*process
}

type process struct {
	began time.Time
	done  chan struct{}
	state State
}

// Run implements [Runner].
func (p *Processes) Run(ctx context.Context, t Task) (State, error) {
	if len(t.Spec.Command) == 0 {
		return State{}, errors.New("it names a CronJob only: on one machine give command")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	run := p.running[t.Name]
	if run == nil {
		if p.running == nil {
			p.running = map[string]*process{}
		}
		run = &process{began: time.Now(), done: make(chan struct{})}
		p.running[t.Name] = run
		go run.run(ctx, p.Dir, t)
	}
	select {
	case <-run.done:
		delete(p.running, t.Name)
		return run.state, nil
	default:
		return State{Message: fmt.Sprintf("%s runs", t.Spec.Command[0])}, nil
	}
}

// run is the life of a process. It ends with the question, or when its time is over.
func (p *process) run(ctx context.Context, dir string, t Task) {
	defer close(p.done)
	ctx, stop := context.WithTimeout(ctx, t.Spec.Timeout)
	defer stop()
	cmd := exec.CommandContext(ctx, t.Spec.Command[0], t.Spec.Command[1:]...)
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Env = os.Environ()
	for name, value := range t.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	p.state = State{Over: true, OK: err == nil, Message: t.Spec.Command[0] + " ended well"}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		p.state.Message = fmt.Sprintf("%s was not done in %s", t.Spec.Command[0], t.Spec.Timeout)
	case ctx.Err() != nil:
		p.state = State{Over: true, Gone: true, Message: t.Spec.Command[0] + " was ended before it was done"}
	case errors.As(err, &exit):
		p.state.Message = fmt.Sprintf("%s ended with exit code %d%s", t.Spec.Command[0], exit.ExitCode(), out.last())
	default:
		p.state.Message = fmt.Sprintf("%s cannot be started: %v", t.Spec.Command[0], err)
	}
}

// tail keeps the end of what a process writes.
type tail struct{ kept []byte }

const longest = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if n := len(t.kept) - longest; n > 0 {
		t.kept = append(t.kept[:0], t.kept[n:]...)
	}
	return len(p), nil
}

// last is the last line, as an addition to a sentence.
func (t *tail) last() string {
	lines := bytes.Split(bytes.TrimSpace(t.kept), []byte("\n"))
	text := strings.ToValidUTF8(strings.TrimSpace(string(lines[len(lines)-1])), "")
	if text == "" {
		return ""
	}
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "..."
	}
	return ": " + text
}
