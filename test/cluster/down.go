//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Down takes a cluster down and removes its state, whole or not. It is no error when there is none.
func Down(name string) error {
	if !nameShape.MatchString(name) {
		return fmt.Errorf("name %q: use lower-case letters, digits and dashes, at most 20", name)
	}
	home, err := Home()
	if err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(home, "state", name+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	return down(stateFolder(home, name))
}

// Down takes this cluster down and removes its state.
func (c *Cluster) Down() error { return Down(c.record.Name) }

func down(folder string) error {
	r, err := readRecord(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	failures := make(chan error, len(r.Hosts))
	for _, known := range r.Hosts {
		go func() { failures <- newHost(filepath.Join(folder, known.Name), known).end() }()
	}
	var failed error
	for range r.Hosts {
		failed = errors.Join(failed, <-failures)
	}
	c := &Cluster{record: r}
	failed = errors.Join(failed, killStragglers(r))
	for _, known := range r.Hosts { // each host does this itself unless it was killed
		failed = errors.Join(failed, removeCgroups(c.cgroup(known.Name)))
	}
	if failed != nil {
		return fmt.Errorf("take down %s: %w", folder, failed)
	}
	return os.RemoveAll(folder)
}

// killStragglers ends what was put into the networks of ended hosts by exec and still runs: only a process of ours can be there.
func killStragglers(r record) error {
	gone := map[uint64]bool{}
	for _, known := range r.Hosts {
		if known.Netns != 0 {
			gone[known.Netns] = true
		}
	}
	own, err := namespaceOf(os.Getpid())
	if err != nil {
		return err
	}
	delete(gone, own) // a down that was itself started by exec
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return poll(ctx, func() error {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return stop(err)
		}
		left := 0
		for _, entry := range entries {
			pid, err := strconv.Atoi(entry.Name())
			if err != nil {
				continue
			}
			if network, err := namespaceOf(pid); err != nil || !gone[network] {
				continue
			}
			if _, err := startOf(pid); err != nil {
				continue // a zombie of somebody's
			}
			left++
			unix.Kill(pid, unix.SIGKILL) //nolint:errcheck // looked for again
		}
		if left > 0 {
			return fmt.Errorf("%d processes are left in the cluster's networks", left)
		}
		return nil
	})
}
