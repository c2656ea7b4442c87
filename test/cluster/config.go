//go:build linux

package cluster

import (
	"fmt"
	"regexp"
	"time"
)

// DefaultKubernetes is the version that the committed module binaries/kubernetes pins.
const DefaultKubernetes = "1.37.2"

// DefaultName names a cluster that was given no name.
const DefaultName = "gapless"

// Config says which cluster to bring up. The zero value is two nodes of DefaultKubernetes under DefaultName.
type Config struct {
	// Name tells clusters on one machine apart. Lower-case letters, digits and dashes, at most 20.
	Name string
	// Nodes is the number of nodes, 1 to 100; 0 stands for 2.
	Nodes int
	// Kubernetes is a version such as 1.34.4.
	Kubernetes string
	// Flags are added to the command line of a component, by its name,
	// for example kube-proxy: --iptables-min-sync-period=10s. The last flag of a name wins.
	Flags map[string][]string
	// Deadline bounds the start, without the building of binaries. 0 stands for 3 minutes.
	Deadline time.Duration
	// Say is told each step as it is done; nil is silence.
	Say func(format string, args ...any)
}

var (
	nameShape    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$`)
	versionShape = regexp.MustCompile(`^1\.\d+\.\d+$`)
)

func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.Nodes == 0 {
		c.Nodes = 2
	}
	if c.Kubernetes == "" {
		c.Kubernetes = DefaultKubernetes
	}
	if c.Deadline == 0 {
		c.Deadline = 3 * time.Minute
	}
	if c.Say == nil {
		c.Say = func(string, ...any) {}
	}
	if !nameShape.MatchString(c.Name) {
		return c, fmt.Errorf("name %q: use lower-case letters, digits and dashes, at most 20", c.Name)
	}
	if c.Nodes < 1 || c.Nodes > 100 {
		return c, fmt.Errorf("nodes %d: use 1 to 100", c.Nodes)
	}
	if !versionShape.MatchString(c.Kubernetes) {
		return c, fmt.Errorf("kubernetes %q: use a version such as %s", c.Kubernetes, DefaultKubernetes)
	}
	for component := range c.Flags {
		if !knownComponent(component) {
			return c, fmt.Errorf("flags of %q: no such component; use one of %v", component, componentNames)
		}
	}
	return c, nil
}

// componentNames lists what runs in a cluster, the control host's first.
var componentNames = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "coredns", "router",
	"containerd", "kubelet", "kube-proxy",
}

func knownComponent(name string) bool {
	for _, known := range componentNames {
		if name == known {
			return true
		}
	}
	return false
}
