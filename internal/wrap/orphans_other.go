//go:build unix && !linux

package wrap

import (
	"os"
	"syscall"
)

// session gives the command a session of its own.
func session() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// adoptOrphans does nothing: only Linux gives orphans to others than process 1.
func adoptOrphans() {}

// passedOn are the signals that mean something to the command and nothing to us.
var passedOn = []os.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT}

// ignores is not known here.
func ignores(int, syscall.Signal) bool { return false }

// killAll kills what is left of the command's group.
func (n *nursery) killAll(session int) { _ = syscall.Kill(-session, syscall.SIGKILL) }

// left is not known here.
func (n *nursery) left(int) string { return "" }
