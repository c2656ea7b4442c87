//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// traces is what a cluster could leave on a machine: links, rules and mounts of the machine's own namespaces, and values
// that the kernel has only once. Other clusters may come and go meanwhile: nothing here is theirs either.
type traces struct {
	name   string
	shared map[string]string
}

func trace(t *testing.T, name string) traces {
	t.Helper()
	before, err := machine()
	if err != nil {
		t.Fatal(err)
	}
	return traces{name, before}
}

// machine reads what all processes of this machine share and a cluster must not touch.
func machine() (map[string]string, error) {
	seen := map[string]string{}
	for _, command := range []string{"ip -o link", "ip rule", "ip route show table all", "iptables-save"} {
		args := strings.Fields(command)
		out, err := exec.Command(args[0], args[1:]...).Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", command, err)
		}
		seen[command] = withoutCounters(string(out))
	}
	for name := range kubeletSysctls {
		value, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			return nil, err
		}
		seen[name] = string(value)
	}
	for _, folder := range []string{"/run/netns", "/run/containerd", "/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers", "/opt/containerd"} {
		_, err := os.Stat(folder)
		seen[folder] = fmt.Sprint(errors.Is(err, os.ErrNotExist))
	}
	return seen, nil
}

func withoutCounters(rules string) string {
	var kept []string
	for _, line := range strings.Split(rules, "\n") {
		if strings.HasPrefix(line, "#") { // the time of the listing
			continue
		}
		line, _, _ = strings.Cut(line, " [")
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}

func (before traces) sameNow(t *testing.T, records ...record) {
	t.Helper()
	if err := before.differences(before.name, records...); err != nil {
		t.Error(err)
	}
	home, err := Home()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stateFolder(home, before.name)); err == nil {
		t.Errorf("%s is left", stateFolder(home, before.name))
	}
}

// differences names what is left of a cluster: processes, cgroups, mounts, and any change to the machine.
func (before traces) differences(name string, records ...record) error {
	now, err := machine()
	if err != nil {
		return err
	}
	var failed []error
	for what, was := range before.shared {
		if now[what] != was {
			failed = append(failed, fmt.Errorf("%s was:\n%s\nnow:\n%s", what, was, now[what]))
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/gapless-cluster-" + name + "-*", "/sys/fs/cgroup/*/gapless-cluster-" + name + "-*"} {
		left, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, path := range left {
			failed = append(failed, fmt.Errorf("cgroup %s is left", path))
		}
	}
	home, err := Home()
	if err != nil {
		return err
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	folder := stateFolder(home, name) + "/"
	if strings.Contains(string(mounts), folder) {
		failed = append(failed, fmt.Errorf("something is mounted in %s", folder))
	}
	return errors.Join(append(failed, processesLeft(name, folder, records)...)...)
}

func processesLeft(name, folder string, records []record) []error {
	networks := map[uint64]bool{}
	for _, r := range records {
		for _, h := range r.Hosts {
			networks[h.Netns] = true
		}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []error{err}
	}
	var left []error
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if _, err := startOf(pid); err != nil {
			continue
		}
		command, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		groups, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cgroup"))
		network, _ := namespaceOf(pid)
		if strings.Contains(string(command), folder) || strings.Contains(string(groups), "gapless-cluster-"+name+"-") || networks[network] {
			left = append(left, fmt.Errorf("process %d is left: %s", pid, strings.ReplaceAll(string(command), "\x00", " ")))
		}
	}
	return left
}
