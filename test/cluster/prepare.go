//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// hiddenFolders are a host's own, empty at its birth: what a component insists on writing there stays in the host.
// /run also holds the lock that iptables takes, which hosts must not share.
var hiddenFolders = []string{"/run", "/var/lib", "/var/log"}

// kubeletSysctls are values that a kubelet demands of the whole machine and else sets itself.
// A host shows them to it instead, so that the machine keeps its own.
var kubeletSysctls = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// prepareHost makes the namespaces that PID 1 was born into a host. Order matters: nothing is mounted before propagation
// to the machine is cut.
func prepareHost(spec hostSpec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil { // among kubelet, containerd and pods
		return fmt.Errorf("make mounts shared in the host: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Sethostname([]byte(spec.Name)); err != nil {
		return err
	}
	for _, folder := range hiddenFolders {
		if err := unix.Mount("tmpfs", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("mount %s: %w", folder, err)
		}
	}
	if err := os.MkdirAll("/run/lock", 0o755); err != nil {
		return err
	}
	network := map[string]string{
		"net/ipv4/ip_forward": "1",
		// The control host is the client: at 300 new connections a second the default range is used up in 90 s.
		"net/ipv4/ip_local_port_range": "10240 65000",
	}
	if spec.Node {
		delete(network, "net/ipv4/ip_local_port_range") // NodePorts lie in that range
	}
	for name, value := range network {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil {
			return err
		}
	}
	// Frames between nodes must not pass the control host's rules as well.
	err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("0"), 0o644)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if spec.Node {
		return showSysctls()
	}
	return nil
}

func showSysctls() error {
	if err := os.MkdirAll("/run/sysctl", 0o755); err != nil {
		return err
	}
	for name, want := range kubeletSysctls {
		path := "/proc/sys/" + name
		have, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(have)) == want {
			continue
		}
		shown := filepath.Join("/run/sysctl", filepath.Base(name))
		if err := os.WriteFile(shown, []byte(want+"\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(shown, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("show %s: %w", path, err)
		}
	}
	return nil
}
