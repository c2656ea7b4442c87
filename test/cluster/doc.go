// Package cluster runs a real Kubernetes of several nodes on one Linux machine,
// as root, from Go modules: no Docker, no virtual machine, no registry.
//
// A cluster is a control host and N nodes. Each host is one process, PID 1 of its
// own PID, mount, network, UTS and IPC namespaces, that starts the components asked of it.
// When it ends, for whatever reason, the kernel ends everything in it: components, pods,
// mounts, links and rules. So nothing is left behind, and nothing outside is touched.
//
// Networks of hosts are joined by a bridge in the control host and have no way out.
package cluster
