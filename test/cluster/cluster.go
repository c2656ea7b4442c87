//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Cluster is one that stands, or is being brought up or down.
type Cluster struct {
	record  record
	folder  string
	plan    addresses
	control *host
	nodes   []*host
	http    *http.Client // in the control host's network
	api     *api
	say     func(string, ...any)
}

// Open finds the cluster of a name. It wraps ErrNotUp when there is none, or when it is not whole.
func Open(name string) (*Cluster, error) {
	home, err := Home()
	if err != nil {
		return nil, err
	}
	return open(stateFolder(home, name), name)
}

func open(folder, name string) (*Cluster, error) {
	r, err := readRecord(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, ErrNotUp)
	}
	if err != nil {
		return nil, err
	}
	c := &Cluster{record: r, folder: folder, plan: addresses{r.Index}, say: func(string, ...any) {}}
	for i, known := range r.Hosts {
		h := newHost(filepath.Join(folder, known.Name), known)
		if i == 0 {
			c.control = h
		} else {
			c.nodes = append(c.nodes, h)
		}
		if !h.alive() {
			return c, fmt.Errorf("%s: host %s has ended: %w", name, known.Name, ErrNotUp)
		}
	}
	if !r.Up {
		return c, fmt.Errorf("%s: its start was not finished: %w", name, ErrNotUp)
	}
	return c, c.connect()
}

// connect readies the clients into the control host's network.
func (c *Cluster) connect() error {
	dial := dialIn(c.control.PID)
	c.http = &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	var err error
	c.api, err = newAPI(c.folder, c.plan, dial)
	return err
}

func (c *Cluster) hosts() []*host { return append([]*host{c.control}, c.nodes...) }

func (c *Cluster) host(name string) (*host, error) {
	for _, h := range c.hosts() {
		if h.Name == name {
			return h, nil
		}
	}
	return nil, fmt.Errorf("host %q: the cluster has control and node-1 to node-%d", name, len(c.nodes))
}

// tool is this program's copy in the state folder: what started us may be gone when a component is restarted.
func (c *Cluster) tool() string { return filepath.Join(c.folder, "tool") }

// cgroup is what a host is called in each hierarchy of the machine.
func (c *Cluster) cgroup(host string) string { return "gapless-cluster-" + c.record.Name + "-" + host }

// Name is what the cluster was called in Config.
func (c *Cluster) Name() string { return c.record.Name }

// Kubeconfig is the path of the administrator's kubeconfig. Its address is known only inside: use it with Exec.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.folder, "pki", "admin.kubeconfig") }

// NodeAddress is the address of node i, from 1, for NodePorts.
func (c *Cluster) NodeAddress(i int) string { return c.plan.node(i) }

// Logs is the folder with a folder per host, whose log/ has a file per component.
func (c *Cluster) Logs() string { return c.folder }

// Dial connects from the client's network, which is the control host's. Addresses must be numeric.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return dialIn(c.control.PID)(ctx, network, address)
}

// Keep lets the cluster outlive this process. Without it the hosts end when this process does, however it ends.
func (c *Cluster) Keep() error {
	for _, h := range c.hosts() {
		if err := h.keep(); err != nil {
			return err
		}
	}
	return nil
}

// Healthy is nil when every component runs and every node is Ready.
func (c *Cluster) Healthy(ctx context.Context) error {
	for _, h := range c.hosts() {
		if _, err := h.components(ctx); err != nil {
			return err
		}
		if err := h.ended(ctx); err != nil {
			return err
		}
	}
	return c.api.nodesReady(ctx, len(c.nodes))
}

// Restart stops a component of a host, waits, and starts it again as it was.
func (c *Cluster) Restart(ctx context.Context, hostName, component string, away time.Duration) error {
	h, err := c.host(hostName)
	if err != nil {
		return err
	}
	all, err := h.components(ctx)
	if err != nil {
		return err
	}
	status, ok := all[component]
	if !ok {
		return fmt.Errorf("component %q: host %s does not run it", component, hostName)
	}
	if err := h.stop(ctx, component, restartGrace); err != nil {
		return err
	}
	pause := time.NewTimer(away)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
	return errors.Join(ctx.Err(), h.start(context.WithoutCancel(ctx), status.component))
}

// copyTool puts this program into the state folder.
func copyTool(to string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	into, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|unix.O_CLOEXEC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(into, from)
	return errors.Join(err, into.Close())
}
