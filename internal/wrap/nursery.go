package wrap

import (
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
)

// A nursery starts processes and reaps: those that it started, and those that were left to us by others. As process 1 of a container
// we are the parent of every orphan, and one that nobody waits for stays a zombie.
//
// Who it reaps cannot be waited for by anybody else, so nothing in this program may use os/exec to wait.
type nursery struct {
	mu   sync.Mutex // over starting and reaping: a child can end before its starter knows its number
	ours map[int]chan syscall.WaitStatus
}

func newNursery() *nursery {
	adoptOrphans()
	n := &nursery{ours: make(map[int]chan syscall.WaitStatus)}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			n.reap()
		}
	}()
	return n
}

// start starts the process; its status comes when it has ended. Its output has to go to files, or nobody copies it.
func (n *nursery) start(cmd *exec.Cmd) (<-chan syscall.WaitStatus, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	status := make(chan syscall.WaitStatus, 1)
	n.ours[cmd.Process.Pid] = status
	return status, nil
}

// reap reaps all that have ended. One signal can stand for several.
func (n *nursery) reap() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil || pid <= 0:
			return
		}
		if ours := n.ours[pid]; ours != nil && (status.Exited() || status.Signaled()) {
			ours <- status
			delete(n.ours, pid)
		}
	}
}
