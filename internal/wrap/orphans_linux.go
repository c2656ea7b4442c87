package wrap

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// session gives the command a session of its own, and has it killed when we are: an orphan would hold its port.
func session() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// adoptOrphans makes us the parent of what our children leave behind, as process 1 is anyway.
func adoptOrphans() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// passedOn are the signals that mean something to the command and nothing to us.
var passedOn = []os.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGPWR}

// ignores tells whether the process has told the system to drop the signal.
func ignores(pid int, sig syscall.Signal) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	_, rest, found := strings.Cut(string(text), "\nSigIgn:")
	line, _, _ := strings.Cut(rest, "\n")
	mask, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	return found && err == nil && mask&(1<<(uint(sig)-1)) != 0
}

// killAll kills what is left of a session, and orphans that left it, and waits until they are gone. Even where the time is over before
// they are, each was told.
func (n *nursery) killAll(session int) {
	for end := time.Now().Add(noticed); ; time.Sleep(look) {
		left := rest(session)
		for _, p := range left {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
		if len(left) == 0 || time.Now().After(end) {
			return
		}
	}
}

// left names a process of the session, or an orphan, that runs.
func (n *nursery) left(session int) string {
	if left := rest(session); len(left) > 0 {
		return fmt.Sprintf("%s (%d)", left[0].name, left[0].pid)
	}
	return ""
}

// rest are the processes of a session, and our other children, that run.
func rest(session int) []process {
	self := os.Getpid()
	return slices.DeleteFunc(processes(), func(p process) bool {
		return p.state == "Z" || p.parent != self && p.session != session
	})
}

// A process as /proc shows it.
type process struct {
	pid, parent, session int
	name, state          string
}

func processes() (all []process) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// pid (name) state ppid pgrp session ...; the name may hold anything.
		open, close := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
		if open < 0 || close < open {
			continue
		}
		fields := strings.Fields(string(text[close+1:]))
		if len(fields) < 4 {
			continue
		}
		p := process{name: string(text[open+1 : close]), state: fields[0]}
		p.pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(file)))
		p.parent, _ = strconv.Atoi(fields[1])
		p.session, _ = strconv.Atoi(fields[3])
		all = append(all, p)
	}
	return all
}
