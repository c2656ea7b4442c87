//go:build linux

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// pauseImage is the name under which every node knows our own pause image.
const pauseImage = "gapless.test/pause:1"

// containerdConfig: without CAP_SYS_RESOURCE runc could not lower scores, hence restrict_oom_score_adj.
const containerdConfig = `version = 2
root = %[1]q
state = %[2]q
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = %[3]q
[plugins."io.containerd.internal.v1.opt"]
path = %[4]q
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = %[5]q
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = %[8]q
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = %[6]q
conf_dir = %[7]q
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
`

// registryConfig: what a test serves at this port of the control host is a registry, over plain HTTP.
const registryConfig = `server = "http://%[1]s"
[host."http://%[1]s"]
capabilities = ["pull", "resolve"]
`

// RegistryPort is where a registry on the control host is found by the nodes.
const RegistryPort = 5000

// cniConfig routes each pod by itself: with a bridge, an answer between two pods of one node
// would not pass the node's rules unless br_netfilter is there.
const cniConfig = `{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [{
    "type": "ptp",
    "ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}
  }]
}
`

func (c *Cluster) socket(node *host) string { return filepath.Join(node.folder, "containerd.sock") }

// startRuntime starts containerd on a node, which needs no API server, and gives it the pause image.
func (c *Cluster) startRuntime(ctx context.Context, number int, pause string) error {
	node := c.nodes[number-1]
	data := filepath.Join(node.folder, "data")
	registry := fmt.Sprintf("%s:%d", c.plan.control(), RegistryPort)
	configs := map[string]string{
		"registries/" + registry + "/hosts.toml": fmt.Sprintf(registryConfig, registry),
		"containerd.toml": fmt.Sprintf(containerdConfig, filepath.Join(data, "containerd"), "/run/containerd", c.socket(node),
			filepath.Join(data, "opt"), pauseImage, cniFolder, filepath.Join(node.folder, "cni"), filepath.Join(node.folder, "registries")),
		"cni/pods.conflist": fmt.Sprintf(cniConfig, filepath.Join(data, "cni"), c.plan.podsOf(number)),
		"resolv.conf":       "", // pods ask the cluster's DNS; what it does not know does not exist
	}
	for name, text := range configs {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(node.folder, name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(node.folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	path, err := find("containerd")
	if err != nil {
		return err
	}
	if err := node.start(ctx, c.with("containerd", path, "--config", filepath.Join(node.folder, "containerd.toml"))); err != nil {
		return err
	}
	return node.ready(ctx, "containerd", func() error { return c.importImage(ctx, node, pause) })
}

// startNode starts what needs the API server. The node is Ready some seconds later.
func (c *Cluster) startNode(ctx context.Context, number int, bin binaries) error {
	node := c.nodes[number-1]
	data := filepath.Join(node.folder, "data")
	pki := func(name string) string { return filepath.Join(c.folder, "pki", name) }
	type object = map[string]any
	config, err := json.MarshalIndent(object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"address": c.plan.node(number), "healthzPort": 0, "readOnlyPort": 0,
		"authentication": object{
			"anonymous": object{"enabled": false}, "webhook": object{"enabled": true},
			"x509": object{"clientCAFile": pki("ca.crt")},
		},
		"authorization": object{"mode": "Webhook"},
		"cgroupDriver":  "cgroupfs", "cgroupRoot": "/", "cgroupsPerQOS": false, "enforceNodeAllocatable": []string{},
		"failCgroupV1": false, "failSwapOn": false,
		"clusterDomain": "cluster.local", "clusterDNS": []string{c.plan.dnsService()},
		"resolvConf":               filepath.Join(node.folder, "resolv.conf"),
		"containerRuntimeEndpoint": "unix://" + c.socket(node),
		"podLogsDir":               filepath.Join(node.folder, "log", "pods"),
		"volumePluginDir":          filepath.Join(data, "volume-plugins"),
		// A full disk or memory of the machine is not a matter of the test.
		"imageGCHighThresholdPercent": 100,
		"evictionHard":                object{"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
	}, "", "  ")
	if err != nil {
		return err
	}
	configPath := filepath.Join(node.folder, "kubelet.json")
	if err := os.WriteFile(configPath, config, 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(node.folder, "log", "pods"), 0o755); err != nil {
		return err
	}
	kubelet := c.with("kubelet", bin.path("kubelet"),
		"--config="+configPath, "--kubeconfig="+pki(node.Name+".kubeconfig"),
		"--hostname-override="+node.Name, "--node-ip="+c.plan.node(number),
		"--root-dir="+filepath.Join(data, "kubelet"), "--cert-dir="+filepath.Join(data, "kubelet-pki"))
	proxy := c.with("kube-proxy", bin.path("kube-proxy"),
		"--kubeconfig="+pki("kube-proxy.kubeconfig"), "--hostname-override="+node.Name,
		"--proxy-mode=iptables", "--cluster-cidr="+c.plan.pods(),
		"--healthz-bind-address=0.0.0.0:10256",
		"--conntrack-max-per-core=0", "--conntrack-min=0") // that is a value of the whole machine
	for _, component := range []component{kubelet, proxy} {
		if err := node.start(ctx, component); err != nil {
			return err
		}
	}
	return nil
}

// proxyReady waits until kube-proxy has written its rules on a node.
func (c *Cluster) proxyReady(ctx context.Context, number int) error {
	node := c.nodes[number-1]
	return node.ready(ctx, "kube-proxy", c.answers(ctx, "http://"+c.plan.node(number)+":10256/healthz"))
}

// restartGrace is how long a component may take to end by itself when it is stopped.
const restartGrace = 3 * time.Second
