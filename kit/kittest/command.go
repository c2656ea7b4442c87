package kittest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Command is a target that is a program. It is started with PORT set to a
// free port, GAPLESS_HEALTH to another, and GAPLESS_GRACE, GAPLESS_DRAIN,
// GAPLESS_PRESTOP and GAPLESS_REPORT as the spec says. "{port}",
// "{healthport}" and "{grpcport}" in arguments and environment are replaced.
type Command struct {
	Declared   Spec
	Path       string
	Args       []string
	Env        []string // added to this process's own
	Dir        string
	Port       int  // fixed, for a program that cannot be told
	HealthPort int  // fixed, as Port
	GRPCPort   int  // fixed, as Port; 0: gRPC, if any, is on Port
	OwnGRPC    bool // gRPC has a port of its own, which the program is told as "{grpcport}"
	SamePort   bool // health is served on the service's own port
}

// Spec is what was declared. Several instances may run at the same time if
// none of their ports is fixed.
func (c *Command) Spec() Spec {
	spec := c.Declared
	switch {
	case c.Port != 0 || c.HealthPort != 0 || c.GRPCPort != 0:
		spec.Parallel = 1
	case spec.Parallel == 0:
		spec.Parallel = 4
	}
	return spec
}

// Start starts the program.
func (c *Command) Start(_ context.Context, env ...string) (Instance, error) {
	p := &process{exited: make(chan struct{})}
	if err := c.place(p); err != nil {
		p.release()
		return nil, err
	}
	var err error
	if p.dir, err = os.MkdirTemp("", "kittest-"); err != nil {
		p.release()
		return nil, err
	}
	if err := c.start(p, env); err != nil {
		os.RemoveAll(p.dir)
		p.release()
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	return p, nil
}

// place gives the instance its ports.
func (c *Command) place(p *process) error {
	for _, one := range []struct {
		addr  *string
		fixed int
		own   bool
	}{
		{&p.addr, c.Port, true},
		{&p.health, c.HealthPort, true},
		{&p.grpc, c.GRPCPort, c.OwnGRPC},
	} {
		port := one.fixed
		if port == 0 && !one.own {
			continue
		}
		if port == 0 {
			free, release, err := FreePort()
			if err != nil {
				return err
			}
			port = free
			p.releases = append(p.releases, release)
		}
		*one.addr = loopback(port)
	}
	return nil
}

func (c *Command) start(p *process, env []string) error {
	spec := c.Declared.WithDefaults()
	fill := strings.NewReplacer("{port}", portOf(p.addr), "{healthport}", portOf(p.health), "{grpcport}", portOf(p.grpc))
	args := make([]string, len(c.Args))
	for i, arg := range c.Args {
		args[i] = fill.Replace(arg)
	}
	p.mark = mark + "=" + filepath.Base(p.dir)
	p.cmd = exec.Command(c.Path, args...)
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(os.Environ(),
		p.mark,
		"PORT="+portOf(p.addr),
		"GAPLESS_GRACE="+spec.Grace.String(),
		"GAPLESS_DRAIN="+spec.Drain.String(),
		"GAPLESS_PRESTOP="+spec.PreStop.String(),
		"GAPLESS_REPORT="+p.reportPath(),
	)
	if c.SamePort {
		p.health = p.addr
	} else {
		p.cmd.Env = append(p.cmd.Env, "GAPLESS_HEALTH="+p.health)
	}
	for _, one := range append(append([]string(nil), c.Env...), env...) {
		p.cmd.Env = append(p.cmd.Env, fill.Replace(one))
	}
	// A pipe that we read ourselves, so that each line has its time; an orphan
	// that holds it does not hold us.
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	ownGroup(p.cmd)
	err = p.cmd.Start()
	in.Close()
	if err != nil {
		out.Close()
		return err
	}
	p.out = out
	read := make(chan struct{})
	go p.listen(read)
	go p.reap(read)
	return nil
}

func portOf(addr string) string {
	_, port, _ := strings.Cut(addr, ":")
	return port
}

// mark is the variable by which the processes of an instance are known, even
// those that have left its process group.
const mark = "KITTEST_INSTANCE"

// process is an instance of a Command.
type process struct {
	cmd                *exec.Cmd
	addr, health, grpc string
	dir, mark          string
	out                *os.File
	releases           []func()
	exited             chan struct{}
	exit               Exit
	report             []byte
	kill               sync.Once

	mu    sync.Mutex
	lines []Line
	size  int
}

// keptOutput bounds what is kept of its output, in bytes.
const keptOutput = 256 << 10

// listen keeps the end of what the instance writes.
func (p *process) listen(done chan<- struct{}) {
	defer close(done)
	from := bufio.NewReaderSize(p.out, 64<<10)
	for {
		text, err := from.ReadString('\n')
		if len(text) > 4096 {
			text = text[:4096]
		}
		if text = strings.TrimRight(text, "\r\n"); text != "" {
			p.keep(Line{time.Now(), text})
		}
		if err != nil {
			return
		}
	}
}

func (p *process) keep(line Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
	for p.size += len(line.Text); p.size > keptOutput; p.lines = p.lines[1:] {
		p.size -= len(p.lines[0].Text)
	}
}

func (p *process) reap(read <-chan struct{}) {
	err := p.cmd.Wait()
	p.exit = exitOf(p.cmd.ProcessState, err)
	// What it wrote at last is in the pipe; an orphan may keep that open.
	_ = p.out.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	<-read
	p.out.Close()
	p.report, _ = os.ReadFile(p.reportPath())
	os.RemoveAll(p.dir)
	close(p.exited)
}

func (p *process) release() {
	for _, release := range p.releases {
		release()
	}
}

func (p *process) reportPath() string      { return filepath.Join(p.dir, "report.json") }
func (p *process) Addr() string            { return p.addr }
func (p *process) HealthAddr() string      { return p.health }
func (p *process) GRPCAddr() string        { return p.grpc }
func (p *process) Exited() <-chan struct{} { return p.exited }
func (p *process) Exit() Exit              { return p.exit }
func (p *process) Report() []byte          { return p.report }
func (p *process) Orphans() []int          { return members(p.cmd.Process.Pid, p.mark) }

// Pid is its first process.
func (p *process) Pid() int { return p.cmd.Process.Pid }

func (p *process) Lines() []Line {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Line(nil), p.lines...)
}

func (p *process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (p *process) Kill() {
	p.kill.Do(func() {
		select {
		case <-p.exited: // its number may be somebody else's by now
			killMarked(p.mark)
		default:
			killGroup(p.cmd.Process.Pid)
			killMarked(p.mark)
		}
		<-p.exited
		p.release()
	})
}
