//go:build linux

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotUp is wrapped by what is asked of a cluster that does not stand.
var ErrNotUp = errors.New("cluster is not up")

// record is the state file of a cluster: what `down` and `exec` need to know of it.
type record struct {
	Name       string
	Index      int
	Nodes      int
	Kubernetes string
	Flags      map[string][]string `json:",omitempty"`
	Hosts      []hostRecord
	Up         bool // all was seen ready
	Created    time.Time
}

// hostRecord names the PID 1 of a host. Started guards against a reused PID;
// Netns finds what was put into the host's network by exec and outlived it.
type hostRecord struct {
	Name    string
	PID     int
	Started uint64
	Netns   uint64
}

// Home is the folder that holds binaries and the state of clusters:
// GAPLESS_CLUSTER_HOME, or gapless/cluster in the user's cache folder.
func Home() (string, error) {
	if home := os.Getenv("GAPLESS_CLUSTER_HOME"); home != "" {
		return filepath.Abs(home)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder, set GAPLESS_CLUSTER_HOME: %w", err)
	}
	return filepath.Join(cache, "gapless", "cluster"), nil
}

// checkHome refuses a home that hosts would hide from themselves by their own file systems, or whose
// socket paths would not fit into the 107 bytes that the kernel has for them.
func checkHome(home string) error {
	for _, hidden := range hiddenFolders {
		if home == hidden || strings.HasPrefix(home, hidden+"/") {
			return fmt.Errorf("home %s: hosts have a %s of their own; set GAPLESS_CLUSTER_HOME elsewhere", home, hidden)
		}
	}
	if len(home) > 50 {
		return fmt.Errorf("home %s: %d bytes are too long for the sockets in it; set GAPLESS_CLUSTER_HOME to a path of at most 50", home, len(home))
	}
	return nil
}

func stateFolder(home, name string) string { return filepath.Join(home, "state", name) }

func readRecord(folder string) (record, error) {
	var r record
	data, err := os.ReadFile(filepath.Join(folder, "cluster.json"))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("read %s: %w", folder, err)
	}
	return r, nil
}

func (r record) write(folder string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	temporary := filepath.Join(folder, ".cluster.json")
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(folder, "cluster.json"))
}

// claim makes a fresh state folder with the lowest index that no other cluster has.
func claim(home string, c Config) (record, error) {
	unlock, err := lock(filepath.Join(home, "state.lock"))
	if err != nil {
		return record{}, err
	}
	defer unlock()
	taken := map[int]bool{}
	others, err := filepath.Glob(filepath.Join(home, "state", "*", "cluster.json"))
	if err != nil {
		return record{}, err
	}
	for _, path := range others {
		if other, err := readRecord(filepath.Dir(path)); err == nil {
			taken[other.Index] = true
		}
	}
	r := record{Name: c.Name, Nodes: c.Nodes, Kubernetes: c.Kubernetes, Flags: c.Flags, Created: time.Now().UTC()}
	for taken[r.Index] {
		r.Index++
	}
	if r.Index >= maxClusters {
		return r, fmt.Errorf("%d clusters stand already; take one down", maxClusters)
	}
	folder := stateFolder(home, c.Name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return r, err
	}
	return r, r.write(folder)
}

// lock waits for an exclusive lock on path and returns what frees it. The kernel frees it too when the process ends.
func lock(path string) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
