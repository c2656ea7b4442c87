//go:build !unix

package kittest

import (
	"os"
	"os/exec"
	"time"
)

func ownGroup(*exec.Cmd)      {}
func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
func groupMembers(int) []int  { return nil }

func exitOf(state *os.ProcessState, _ error) Exit {
	return Exit{Code: state.ExitCode(), At: time.Now()}
}
