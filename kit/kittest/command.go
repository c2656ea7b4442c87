package kittest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// Command is a target that is a program. It is started with PORT set to a
// free port, GAPLESS_HEALTH to another, and GAPLESS_GRACE, GAPLESS_DRAIN,
// GAPLESS_PRESTOP and GAPLESS_REPORT as the spec says. "{port}" and
// "{healthport}" in arguments and environment are replaced.
type Command struct {
	Declared Spec
	Path     string
	Args     []string
	Env      []string // added to this process's own
	Dir      string
	Port     int  // fixed, for a program that cannot be told
	SamePort bool // health is served on the service's own port
}

// Spec is what was declared.
func (c *Command) Spec() Spec { return c.Declared }

// Start starts the program.
func (c *Command) Start(_ context.Context, env ...string) (Instance, error) {
	spec := c.Declared.withDefaults()
	port, err := freePort()
	if c.Port != 0 {
		port = c.Port
	}
	if err != nil {
		return nil, err
	}
	health, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kittest-")
	if err != nil {
		return nil, err
	}
	p := &process{
		addr:   loopback(port),
		health: loopback(health),
		dir:    dir,
		exited: make(chan struct{}),
	}
	if c.SamePort {
		p.health = p.addr
	}
	fill := strings.NewReplacer("{port}", strconv.Itoa(port), "{healthport}", strconv.Itoa(health))
	args := make([]string, len(c.Args))
	for i, arg := range c.Args {
		args[i] = fill.Replace(arg)
	}
	p.cmd = exec.Command(c.Path, args...)
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(os.Environ(),
		"PORT="+strconv.Itoa(port),
		"GAPLESS_GRACE="+spec.Grace.String(),
		"GAPLESS_DRAIN="+spec.Drain.String(),
		"GAPLESS_PRESTOP="+spec.PreStop.String(),
		"GAPLESS_REPORT="+p.reportPath(),
	)
	if !c.SamePort {
		p.cmd.Env = append(p.cmd.Env, "GAPLESS_HEALTH="+p.health)
	}
	for _, one := range append(append([]string(nil), c.Env...), env...) {
		p.cmd.Env = append(p.cmd.Env, fill.Replace(one))
	}
	// A file, not a pipe: an orphan that holds it must not hold us.
	log, err := os.Create(p.logPath())
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	ownGroup(p.cmd)
	if err := p.cmd.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	go p.reap()
	return p, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePort is free now. Nobody holds it until the program does.
func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// process is an instance of a Command.
type process struct {
	cmd          *exec.Cmd
	addr, health string
	dir          string
	exited       chan struct{}
	exit         Exit
	report       []byte
	logs         string // its end, once exited
	kill         sync.Once
}

func (p *process) reap() {
	err := p.cmd.Wait()
	p.exit = exitOf(p.cmd.ProcessState, err)
	p.logs = tail(p.logPath())
	p.report, _ = os.ReadFile(p.reportPath())
	os.RemoveAll(p.dir)
	close(p.exited)
}

func (p *process) reportPath() string      { return filepath.Join(p.dir, "report.json") }
func (p *process) logPath() string         { return filepath.Join(p.dir, "output.log") }
func (p *process) Addr() string            { return p.addr }
func (p *process) HealthAddr() string      { return p.health }
func (p *process) Exited() <-chan struct{} { return p.exited }
func (p *process) Exit() Exit              { return p.exit }
func (p *process) Report() []byte          { return p.report }
func (p *process) Orphans() []int          { return groupMembers(p.cmd.Process.Pid) }

// Logs is the end of its output, while it runs and after.
func (p *process) Logs() string {
	select {
	case <-p.exited:
		return p.logs
	default:
		return tail(p.logPath())
	}
}

func (p *process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (p *process) Kill() {
	p.kill.Do(func() {
		killGroup(p.cmd)
		<-p.exited
	})
}

// tailSize is how much of its output is kept.
const tailSize = 64 << 10

// tail is the end of a file.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tailSize {
		_, _ = f.Seek(-tailSize, io.SeekEnd)
	}
	text, _ := io.ReadAll(f)
	return string(text)
}
