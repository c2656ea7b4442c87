package local

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// An identity names one process for good: a pid alone is used again by the system.
type identity struct {
	Pid int `json:"pid"`
	// Start is when the process began, in the system's own terms, with the boot that it belongs to.
	Start string `json:"start"`
}

// A process is one that we started, or one that an earlier Gapless started and we found again.
type process struct {
	identity
	since time.Time
	done  chan struct{} // closed once it has ended

	mu   sync.Mutex
	exit string // how it ended, in words, once done is closed
	code int    // its exit code; -1 when a signal ended it, or when nobody could learn it
}

// A command says what to start.
type command struct {
	argv []string
	dir  string
	env  []string
	log  string // file that gets what it prints
}

// start runs a command in a session of its own, with its output going straight to a file. So it depends on nothing of ours: neither
// a terminal's Ctrl-C nor our death reaches it.
func start(c command) (*process, error) {
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.dir, c.env, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{identity: identify(cmd.Process.Pid), since: time.Now(), done: make(chan struct{})}
	ended := make(chan struct{})
	watched := watch(p.identity, ended)
	go func() {
		if watched == nil {
			// What it forked goes with it. It is not reaped yet, so its group's number is still its own.
			<-ended
			_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
		}
		err := cmd.Wait()
		if watched != nil {
			_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
		}
		p.finish(exitOf(cmd, err))
	}()
	return p, nil
}

// adopt takes over a process that an earlier Gapless started, if it is still there.
func adopt(id identity, since time.Time) (*process, bool) {
	if !id.alive() {
		return nil, false
	}
	p := &process{identity: id, since: since, done: make(chan struct{})}
	ended := make(chan struct{})
	if err := watch(id, ended); err != nil {
		go pollEnd(id, ended)
	}
	go func() {
		<-ended
		_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
		p.finish("ended; how is unknown, since an earlier gapless had started it", -1)
	}()
	return p, true
}

func (p *process) finish(exit string, code int) {
	p.mu.Lock()
	p.exit, p.code = exit, code
	p.mu.Unlock()
	close(p.done)
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) how() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// signal reaches the process and what it forked, if it is still the same process.
func (p *process) signal(s syscall.Signal) {
	if !p.ended() && p.alive() {
		_ = syscall.Kill(-p.Pid, s)
	}
}

// terminate asks the process to end, and makes it end after grace. It tells whether it had to. When ctx ends nobody waits any more.
func (p *process) terminate(ctx context.Context, grace time.Duration) (killed bool) {
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return false
	case <-ctx.Done():
		return false
	case <-timer.C:
	}
	p.signal(syscall.SIGKILL)
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	return true
}

// pollEnd stands in where the system cannot tell of the end of a process that is not our child.
func pollEnd(id identity, ended chan<- struct{}) {
	timer := time.NewTimer(0)
	for range timer.C {
		if !id.alive() {
			close(ended)
			return
		}
		timer.Reset(250 * time.Millisecond)
	}
}

func exitOf(cmd *exec.Cmd, err error) (string, int) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err.Error(), -1
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return "was ended by signal " + status.Signal().String(), -1
	}
	return "exited with code " + strconv.Itoa(cmd.ProcessState.ExitCode()), cmd.ProcessState.ExitCode()
}
