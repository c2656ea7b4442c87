//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// packages are Debian's names of what is not built from Go modules, and a file that shows that each is there.
var packages = []struct{ name, program string }{
	{"containerd", "containerd"},
	{"runc", "runc"},
	{"containernetworking-plugins", cniFolder + "/ptp"},
	{"iptables", "iptables"},
	{"iproute2", "ip"},
}

const cniFolder = "/usr/lib/cni"

// Missing names the packages that are not installed.
func Missing() []string {
	var missing []string
	for _, p := range packages {
		if _, err := find(p.program); err != nil {
			missing = append(missing, p.name)
		}
	}
	return missing
}

// Install installs the missing packages by apt-get. It does nothing when there are none.
func Install(ctx context.Context) error {
	missing := Missing()
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("install these by hand, there is no apt-get: %s", strings.Join(missing, " "))
	}
	for _, args := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends"}, missing...)} {
		command := exec.CommandContext(ctx, "apt-get", args...)
		command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	if missing = Missing(); len(missing) > 0 {
		return errors.New("installed but not found: " + strings.Join(missing, " "))
	}
	return nil
}

// find looks a program up in PATH and in the folders of system programs, which a PATH often lacks.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, folder := range []string{"/usr/sbin/", "/sbin/", "/usr/local/sbin/", "/usr/local/bin/"} {
		if path, err := exec.LookPath(folder + program); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed; run the install step", program)
}
