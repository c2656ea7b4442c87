//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Up brings a cluster up and returns when all of it was seen ready. What stands already as asked for is returned as it is.
// The cluster ends with this process unless Keep is called. When Up fails nothing stays but the logs, and the error has
// the last lines of the component that failed.
func Up(ctx context.Context, c Config) (*Cluster, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("a cluster needs root, for its namespaces")
	}
	if missing := Missing(); len(missing) > 0 {
		return nil, fmt.Errorf("packages %s are missing; run the install step", strings.Join(missing, " "))
	}
	home, err := Home()
	if err != nil {
		return nil, err
	}
	if err := checkHome(home); err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(home, "state", c.Name+".lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()

	folder := stateFolder(home, c.Name)
	standing, err := open(folder, c.Name)
	if err == nil {
		return standing, standing.sameAs(ctx, c)
	}
	if err := down(folder); err != nil { // what a killed start left
		return nil, err
	}
	bin, err := build(ctx, c.Kubernetes, c.Say)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Deadline, fmt.Errorf("the cluster's deadline of %s has passed", c.Deadline))
	defer cancel()
	r, err := claim(home, c)
	if err != nil {
		return nil, err
	}
	up := &Cluster{record: r, folder: folder, plan: addresses{r.Index}, say: c.Say}
	if err := up.bringUp(ctx, bin); err != nil {
		return nil, errors.Join(err, up.abandon())
	}
	up.record.Up = true
	return up, up.record.write(folder)
}

// sameAs refuses to take a standing cluster for another, or for a whole one.
func (c *Cluster) sameAs(ctx context.Context, wanted Config) error {
	r := c.record
	if r.Nodes != wanted.Nodes || r.Kubernetes != wanted.Kubernetes || !maps.EqualFunc(r.Flags, wanted.Flags, slices.Equal) {
		return fmt.Errorf("cluster %s stands with %d nodes of %s, flags %v; take it down first", r.Name, r.Nodes, r.Kubernetes, r.Flags)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := c.Healthy(ctx); err != nil {
		return fmt.Errorf("cluster %s stands but is not whole; take it down first: %w", r.Name, err)
	}
	return nil
}

// abandon takes down what was begun, and leaves the logs.
func (c *Cluster) abandon() error {
	var failed error
	for _, h := range c.hosts() {
		if h != nil {
			failed = errors.Join(failed, h.end())
		}
	}
	return errors.Join(failed, killStragglers(c.record), os.Remove(filepath.Join(c.folder, "cluster.json")), os.RemoveAll(filepath.Join(c.folder, "pki")))
}

func (c *Cluster) bringUp(ctx context.Context, bin binaries) error {
	pause, err := c.prepare(bin)
	if err != nil {
		return err
	}
	if err := c.makeHosts(ctx); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	if err := c.wire(ctx); err != nil {
		return err
	}
	c.say("%d hosts wired", len(c.nodes)+1)

	// Whatever is waited for, a component that ends is the reason why it does not come.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go c.watchForEnds(ctx, cancel)
	err = c.startAll(ctx, bin, pause)
	if death := (endedError{}); errors.As(context.Cause(ctx), &death) {
		return death
	}
	return err
}

// endedError says that a component has ended, in the words of explain.
type endedError struct{ error }

func (c *Cluster) watchForEnds(ctx context.Context, cancel context.CancelCauseFunc) {
	poll(ctx, func() error { //nolint:errcheck // it is told by cancel
		for _, h := range c.hosts() {
			if err := h.ended(ctx); err != nil {
				cancel(endedError{err})
				return nil
			}
		}
		return errors.New("all run")
	})
}

// prepare writes what hosts need into the state folder and returns the archive of the pause image.
func (c *Cluster) prepare(bin binaries) (string, error) {
	if err := copyTool(c.tool()); err != nil {
		return "", err
	}
	if err := writePKI(c.folder, c.plan, c.record.Nodes); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(c.folder, "bin"), 0o755); err != nil {
		return "", err
	}
	if err := os.Symlink(bin.path("kubectl"), filepath.Join(c.folder, "bin", "kubectl")); err != nil {
		return "", err
	}
	pause := filepath.Join(c.folder, "pause.tar")
	archive, err := os.Create(pause)
	if err != nil {
		return "", err
	}
	return pause, errors.Join(WriteImage(archive, pauseImage, bin.path("pause")), archive.Close())
}

// startAll starts the components: containerd needs no API server, all else on a node does.
func (c *Cluster) startAll(ctx context.Context, bin binaries, pause string) error {
	runtimes := make(chan error, 1)
	go func() {
		runtimes <- c.onNodes(func(number int) error { return c.startRuntime(ctx, number, pause) })
	}()
	control := c.startControlPlane(ctx, bin)
	if err := errors.Join(control, <-runtimes); err != nil {
		return err
	}
	if err := c.onNodes(func(number int) error { return c.startNode(ctx, number, bin) }); err != nil {
		return err
	}
	return c.settled(ctx)
}

func (c *Cluster) makeHosts(ctx context.Context) error {
	names := []string{"control"}
	for i := range c.record.Nodes {
		names = append(names, nodeName(i+1))
	}
	for _, name := range names {
		spec := hostSpec{Name: name, Folder: filepath.Join(c.folder, name), Cgroup: c.cgroup(name), Node: name != "control"}
		h, err := startHost(ctx, c.tool(), spec.Folder, spec)
		if h != nil {
			if name == "control" {
				c.control = h
			} else {
				c.nodes = append(c.nodes, h)
			}
			c.record.Hosts = append(c.record.Hosts, h.hostRecord)
			err = errors.Join(err, c.record.write(c.folder))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wire joins the hosts by a bridge in the control host. There is no way out of it.
func (c *Cluster) wire(ctx context.Context) error {
	control := []string{
		"link set lo up",
		"link add br0 type bridge",
		"addr add " + c.plan.control() + "/24 dev br0",
		"link set br0 up",
	}
	for i, node := range c.nodes {
		number := i + 1
		control = append(control,
			fmt.Sprintf("link add %s type veth peer name eth0 netns %d", node.Name, node.PID),
			fmt.Sprintf("link set %s master br0 up", node.Name),
			fmt.Sprintf("route add %s via %s", c.plan.podsOf(number), c.plan.node(number)),
			// The router marks a connection by the number of the node that is to take it.
			fmt.Sprintf("rule add fwmark %d lookup %d", number, 100+number),
			fmt.Sprintf("route add default via %s table %d", c.plan.node(number), 100+number))
	}
	for _, to := range []string{c.plan.services(), c.plan.loadBalancers()} {
		control = append(control, fmt.Sprintf("route add %s via %s", to, c.plan.node(1))) // unmarked yet
	}
	if err := ip(ctx, c.control.PID, control...); err != nil {
		return fmt.Errorf("wire the control host: %w", err)
	}
	return c.onNodes(func(number int) error {
		lines := []string{
			"link set lo up",
			"addr add " + c.plan.node(number) + "/24 dev eth0",
			"link set eth0 up",
			"route add default via " + c.plan.control(),
			"route add blackhole " + c.plan.podsOf(number), // pods have routes of their own; what is for one that is gone would go round and round
		}
		for other := 1; other <= len(c.nodes); other++ {
			if other != number {
				lines = append(lines, fmt.Sprintf("route add %s via %s", c.plan.podsOf(other), c.plan.node(other)))
			}
		}
		if err := ip(ctx, c.nodes[number-1].PID, lines...); err != nil {
			return fmt.Errorf("wire %s: %w", nodeName(number), err)
		}
		return nil
	})
}

// settled waits until pods can be made, nodes are Ready, and the name of the API server is answered through the DNS Service.
func (c *Cluster) settled(ctx context.Context) error {
	if err := c.onNodes(func(number int) error { return c.proxyReady(ctx, number) }); err != nil {
		return err
	}
	account := "/api/v1/namespaces/default/serviceaccounts/default"
	if err := c.control.ready(ctx, "kube-controller-manager", func() error { return c.api.get(ctx, account, nil) }); err != nil {
		return err
	}
	if err := poll(ctx, func() error { return c.api.nodesReady(ctx, len(c.nodes)) }); err != nil {
		return fmt.Errorf("nodes: %w", err)
	}
	c.say("%d nodes Ready", len(c.nodes))
	err := c.control.ready(ctx, "coredns", func() error { return c.resolves(ctx, "kubernetes.default.svc.cluster.local") })
	if err != nil {
		return err
	}
	return c.Healthy(ctx)
}
