//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Command is a command that runs in the client's network, where all addresses of the cluster are known, as are the names of
// its Services. KUBECONFIG is set and kubectl is in its PATH. Killing it kills the command itself: there is no process between.
// The program that calls this must call Hook first thing in main.
func (c *Cluster) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "/proc/self/exe", append([]string{hookExec, c.folder, "control", name}, args...)...)
}

// Exec becomes a command in the network of a host: "control", the client's, or node-1 and so on.
// It returns only if it fails.
func (c *Cluster) Exec(host, name string, args ...string) error {
	h, err := c.host(host)
	if err != nil {
		return err
	}
	if !h.alive() {
		return fmt.Errorf("host %s: %w", host, ErrNotUp)
	}
	runtime.LockOSThread() // what follows is the thread's, and execve keeps this thread
	if err := enterNetwork(h.PID); err != nil {
		return err
	}
	if err := c.showNames(); err != nil {
		return fmt.Errorf("show the cluster's DNS: %w", err)
	}
	env := append(withoutProxies(os.Environ()),
		"KUBECONFIG="+c.Kubeconfig(),
		"GAPLESS_CLUSTER="+c.Name(),
		"PATH="+filepath.Join(c.folder, "bin")+":"+os.Getenv("PATH"))
	os.Setenv("PATH", filepath.Join(c.folder, "bin")+":"+os.Getenv("PATH")) //nolint:errcheck // for the look-up
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", path, unix.Exec(path, append([]string{name}, args...), env))
}

// withoutProxies drops the variables that would send requests elsewhere.
func withoutProxies(env []string) []string {
	var kept []string
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		switch strings.ToLower(name) {
		case "http_proxy", "https_proxy", "all_proxy", "path", "kubeconfig":
		default:
			kept = append(kept, entry)
		}
	}
	return kept
}

// showNames gives this thread a view of the files in which /etc/resolv.conf is the cluster's.
func (c *Cluster) showNames() error {
	ours := filepath.Join(c.folder, "resolv.conf")
	text := fmt.Sprintf("nameserver %s\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n", c.plan.control())
	if have, err := os.ReadFile(ours); err != nil || string(have) != text {
		if err := os.WriteFile(ours, []byte(text), 0o644); err != nil {
			return err
		}
	}
	theirs, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		return nil // a machine without names has none to hide
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	return unix.Mount(ours, theirs, "", unix.MS_BIND, "")
}
