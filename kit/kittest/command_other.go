//go:build !unix

package kittest

import (
	"os"
	"os/exec"
	"time"
)

func ownGroup(*exec.Cmd)        {}
func members(int, string) []int { return nil }

func killMarked(string) {}

func killGroup(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}

func exitOf(state *os.ProcessState, _ error) Exit {
	return Exit{Code: state.ExitCode(), At: time.Now()}
}
