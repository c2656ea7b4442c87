package wrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A command is the process that serves, with all that it starts.
type command struct {
	pid   int
	sig   syscall.Signal
	most  time.Duration // between the signal and the kill; 0: as long as there is time
	kids  *nursery
	asked atomic.Bool   // to end, by us
	ended chan struct{} // closed once it has
	alone chan struct{} // closed once it has, without having been asked to

	mu     sync.Mutex
	status syscall.WaitStatus
}

// start starts the command in a session of its own, so that what a terminal or a supervisor sends to our group reaches us alone.
func start(o Options, kids *nursery) (*command, error) {
	path, err := exec.LookPath(o.Command[0])
	if err != nil {
		return nil, &StartError{o.Command[0], err}
	}
	argv := make([]string, len(o.Command))
	for i, word := range o.Command {
		argv[i] = strings.ReplaceAll(word, "{port}", o.port())
	}
	cmd := &exec.Cmd{
		Path: path, Args: argv, Env: o.environment(),
		Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr,
		SysProcAttr: session(),
	}
	c := &command{sig: o.Stop, most: o.StopWithin, kids: kids, ended: make(chan struct{}), alone: make(chan struct{})}
	status, err := c.startFirst(cmd)
	if err != nil {
		return nil, &StartError{o.Command[0], err}
	}
	go func() {
		how := <-status
		c.mu.Lock()
		c.status = how
		c.mu.Unlock()
		close(c.ended)
		if !c.asked.Load() {
			close(c.alone)
		}
	}()
	return c, nil
}

// startFirst starts the command from a thread that lives as long as we do: where the system kills a child with its parent, the
// parent is the thread.
func (c *command) startFirst(cmd *exec.Cmd) (<-chan syscall.WaitStatus, error) {
	type result struct {
		status <-chan syscall.WaitStatus
		err    error
	}
	started := make(chan result)
	go func() {
		runtime.LockOSThread()
		status, err := c.kids.start(cmd)
		if err == nil {
			c.pid = cmd.Process.Pid
		}
		started <- result{status, err}
		if err == nil {
			<-c.ended
		}
	}()
	r := <-started
	return r.status, r.err
}

// environment is ours, with the port, and without what is meant for wrap: a command that uses kit itself has nothing to drain for when
// it is told to stop.
func (o Options) environment() []string {
	set := map[string]string{"PORT": o.port(), "GAPLESS_DRAIN": "0s"}
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "PORT", "GAPLESS_DRAIN", "GAPLESS_GRACE", "GAPLESS_PRESTOP", "GAPLESS_HEALTH", "GAPLESS_READY_FILE", "GAPLESS_REPORT":
		default:
			env = append(env, entry)
		}
	}
	for name, value := range set {
		env = append(env, name+"="+value)
	}
	return env
}

// A StartError says that the command could not be started. Code is what a shell would exit with.
type StartError struct {
	Command string
	Err     error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("cannot start %q: %v", e.Command, errors.Unwrap(e.Err))
}

func (e *StartError) Unwrap() error { return e.Err }

// Code is 127 for a command that is not there, and 126 for one that cannot be run.
func (e *StartError) Code() int {
	if errors.Is(e.Err, exec.ErrNotFound) || errors.Is(e.Err, fs.ErrNotExist) {
		return 127
	}
	return 126
}

// pass gives the command a signal that is for it alone.
func (c *command) pass(sig syscall.Signal) {
	if !c.isOver() {
		_ = syscall.Kill(c.pid, sig)
	}
}

// toAll reaches the command and what it forked, also behind a shell that keeps signals for itself.
func (c *command) toAll(sig syscall.Signal) {
	if !c.isOver() {
		_ = syscall.Kill(-c.pid, sig)
	}
}

func (c *command) isOver() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// noticed is kept of the time to stop, for the kill to take effect.
const noticed = 200 * time.Millisecond

// stop asks the command to end, now that nobody needs it any more, and makes it end when the time is up. One that ignores the signal
// will not end by itself, so it only gets the time that closing gets.
func (c *command) stop(ctx context.Context, closing time.Duration) error {
	c.asked.Store(true)
	limit := c.most
	if ignores(c.pid, c.sig) && (limit == 0 || closing < limit) {
		limit = closing
	}
	c.toAll(c.sig)
	if deadline, ok := ctx.Deadline(); ok {
		if left := time.Until(deadline) - noticed; limit == 0 || left < limit {
			limit = left
		}
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	began := time.Now()
	defer c.kids.killAll(c.pid)
	select {
	case <-c.ended:
	case <-timer.C:
		c.toAll(syscall.SIGKILL)
		<-c.ended
		return fmt.Errorf("it did not end within %v of %v and was killed", time.Since(began).Round(10*time.Millisecond), c.sig)
	}
	if code := c.exitCode(); code != 0 && code != 128+int(c.sig) {
		return fmt.Errorf("asked to end, it %s", c.how())
	}
	return nil
}

// finish ends all that is left of it, if it was not stopped in order.
func (c *command) finish() {
	if c.asked.Swap(true) && c.isOver() {
		return
	}
	c.toAll(syscall.SIGKILL)
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	select {
	case <-c.ended:
	case <-limit.C: // the system itself does not let go of it
	}
	c.kids.killAll(c.pid)
}

// how the command ended, in words.
func (c *command) how() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.Signaled() {
		return "was ended by signal " + c.status.Signal().String()
	}
	return fmt.Sprintf("exited with code %d", c.status.ExitStatus())
}

// exitCode is the command's as a shell tells it.
func (c *command) exitCode() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.Signaled() {
		return 128 + int(c.status.Signal())
	}
	return c.status.ExitStatus()
}

// left names a process that the command has left behind, if it exited as if all were well.
func (c *command) left() string {
	if c.exitCode() != 0 {
		return ""
	}
	return c.kids.left(c.pid)
}
