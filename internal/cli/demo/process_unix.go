//go:build unix

package demo

import (
	"os"
	"os/exec"
	"syscall"
)

// apart gives a process a group of its own, so that Ctrl-C at the terminal does not reach it: the demo stops it in order.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func terminate(p *os.Process) { _ = p.Signal(syscall.SIGTERM) }
