//go:build linux

package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// inNetwork calls f in the network namespace of a process. What f makes there, a socket or a child, stays there.
// It runs on a thread of its own, which is thrown away if it cannot be brought back.
func inNetwork(pid int, f func() error) error {
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		own, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			failed <- err
			return
		}
		defer own.Close()
		if err := enterNetwork(pid); err != nil {
			failed <- err
			return
		}
		failed <- f()
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return <-failed
}

func enterNetwork(pid int) error {
	network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer network.Close()
	if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network of %d: %w", pid, err)
	}
	return nil
}

// dialIn returns a dialer whose connections start in the network of a process. Addresses must be numeric.
func dialIn(pid int) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		var conn net.Conn
		err := inNetwork(pid, func() (err error) {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}

// ip runs lines of iproute2 in the network of a process, in order, up to the first that fails.
func ip(ctx context.Context, pid int, lines ...string) error {
	return inNetwork(pid, func() error {
		command := exec.CommandContext(ctx, "ip", "-batch", "-")
		command.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("ip: %w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// namespaceOf is the identity of a network namespace, the same for all processes in it.
func namespaceOf(pid int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}
