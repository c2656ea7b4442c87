package local

import "golang.org/x/sys/unix"

// sessionOf is the session of a process: the pid of the one that was started by us.
func sessionOf(pid int) (int, error) { return unix.Getsid(pid) }
