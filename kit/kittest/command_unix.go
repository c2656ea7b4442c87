//go:build unix

package kittest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ownGroup gives the program a process group, so that its children are known.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(group int) { _ = syscall.Kill(-group, syscall.SIGKILL) }

// killMarked ends what of the instance has left its group.
func killMarked(mark string) {
	for _, pid := range members(-1, mark) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func exitOf(state *os.ProcessState, err error) Exit {
	exit := Exit{Code: -1, At: time.Now()}
	if state == nil {
		exit.Signal = err.Error()
		return exit
	}
	exit.Code = state.ExitCode()
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		exit.Signal = ws.Signal().String()
	}
	return exit
}

// members are the processes of an instance: those of its group, and those that
// have its mark in their environment. Where there is no /proc it says the
// group's number if anybody is in it.
func members(group int, mark string) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	if len(stats) == 0 {
		if syscall.Kill(-group, 0) != nil {
			return nil
		}
		return []int{group}
	}
	var members []int
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// pid (name) state ppid pgrp ...; the name may hold anything.
		_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
		fields := strings.Fields(rest)
		if len(fields) < 3 || fields[0] == "Z" || fields[2] != strconv.Itoa(group) && !marked(filepath.Dir(path), mark) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			members = append(members, pid)
		}
	}
	return members
}

// marked looks for a mark in the environment that a process was started with.
func marked(dir, mark string) bool {
	environ, err := os.ReadFile(filepath.Join(dir, "environ"))
	return err == nil && slices.Contains(strings.Split(string(environ), "\x00"), mark)
}
