//go:build linux

package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchy is a mounted cgroup hierarchy: one of several of v1, or the one of v2.
type hierarchy struct {
	path    string
	version int
	options string   // that name a v1 hierarchy in a mount
	outside *os.File // its root as the machine sees it; open in a host only
}

// hierarchies reads those of this process's view, in the order of their mounts.
func hierarchies() ([]hierarchy, error) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer table.Close()
	var found []hierarchy
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if len(place) < 5 || len(kind) < 3 || !strings.HasPrefix(place[4], "/sys/fs/cgroup") {
			continue
		}
		switch kind[0] {
		case "cgroup":
			found = append(found, hierarchy{path: place[4], version: 1, options: v1Options(kind[2])})
		case "cgroup2":
			found = append(found, hierarchy{path: place[4], version: 2})
		}
	}
	return found, lines.Err()
}

// v1Options keeps of a mount's options those that say which hierarchy it is.
func v1Options(all string) string {
	var kept []string
	for _, option := range strings.Split(all, ",") {
		switch name, _, _ := strings.Cut(option, "="); name {
		case "rw", "ro", "xattr", "release_agent", "clone_children", "noprefix", "cpuset_v2_mode", "seclabel":
		case "name":
			kept = append(kept, "none", option)
		default:
			kept = append(kept, option)
		}
	}
	return strings.Join(kept, ",")
}

// bornInCgroup puts PID 1 of a host into a cgroup of its own in every hierarchy, makes that the root of all that it and its
// children know, and starts the program anew: namespaces are a thread's, and only execve makes one thread's those of all.
func bornInCgroup(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		if err := h.enter(name); err != nil {
			return fmt.Errorf("enter cgroup %s: %w", name, err)
		}
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unshare cgroups: %w", err)
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), bornVariable+"=1"))
}

// bornVariable is set for PID 1 of a host once it is in its cgroup.
const bornVariable = "GAPLESS_CLUSTER_HOST_BORN"

func (h hierarchy) enter(name string) error {
	folder := filepath.Join(h.path, name)
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if h.version == 2 {
		passControllers(h.path)
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // of v1; a new cpuset is empty and takes nobody
		parent, err := os.ReadFile(filepath.Join(h.path, file))
		if err != nil || h.version != 1 {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, file), parent, 0o644); err != nil {
			return err
		}
	}
	return join(folder)
}

func join(folder string) error {
	return os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte("0"), 0o644)
}

// passControllers lets the children of a v2 cgroup have every controller that it has. What cannot be passed is not missed
// before a pod asks for it, and then with a better message.
func passControllers(folder string) {
	controllers, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
	if err != nil {
		return
	}
	for _, controller := range strings.Fields(string(controllers)) {
		os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+"+controller), 0o644) //nolint:errcheck // see above
	}
}

// narrowCgroups mounts every hierarchy anew over itself, so that only this host's part is seen,
// and returns them with the way back.
func narrowCgroups() ([]hierarchy, error) {
	all, err := hierarchies()
	if err != nil {
		return nil, err
	}
	for i, h := range all {
		if all[i].outside, err = os.Open(h.path); err != nil {
			return nil, err
		}
	}
	for i := len(all) - 1; i >= 0; i-- { // those within others first
		if err := unix.Unmount(all[i].path, unix.MNT_DETACH); err != nil {
			return nil, fmt.Errorf("unmount %s: %w", all[i].path, err)
		}
	}
	for _, h := range all {
		kind := map[int]string{1: "cgroup", 2: "cgroup2"}[h.version]
		if err := unix.Mount(kind, h.path, kind, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, h.options); err != nil {
			return nil, fmt.Errorf("mount %s with %q: %w", h.path, h.options, err)
		}
		if h.version == 2 { // only a cgroup without processes can pass controllers on
			own := filepath.Join(h.path, "init")
			if err := os.Mkdir(own, 0o755); err != nil {
				return nil, err
			}
			if err := join(own); err != nil {
				return nil, err
			}
			passControllers(h.path)
		}
	}
	return all, nil
}

// leaveCgroups takes PID 1 out of its cgroups, after all others have ended, and removes them.
func leaveCgroups(all []hierarchy, name string) error {
	var roots []string
	for _, h := range all {
		root := fmt.Sprintf("/proc/self/fd/%d", h.outside.Fd())
		if err := join(root); err != nil {
			return fmt.Errorf("leave %s of %s: %w", name, h.path, err)
		}
		roots = append(roots, filepath.Join(root, name))
	}
	return removeTrees(roots)
}

// removeCgroups removes a cgroup from every hierarchy, where the host could not do it because it was killed.
func removeCgroups(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	var roots []string
	for _, h := range all {
		roots = append(roots, filepath.Join(h.path, name))
	}
	return removeTrees(roots)
}

// removeTrees removes cgroups with all below them. The kernel holds one until the last of its processes is gone for good,
// a little after it was reaped.
func removeTrees(roots []string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		var failed error
		for _, root := range roots {
			failed = errors.Join(failed, removeTree(root))
		}
		if failed == nil || time.Now().After(deadline) {
			return failed
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// removeTree removes the deepest first: of cgroups only folders can be removed.
func removeTree(root string) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(root, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(root); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove cgroup %s: %w", root, err)
	}
	return nil
}
