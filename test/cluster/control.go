//go:build linux

package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// with adds a user's flags for a component to its command line.
func (c *Cluster) with(name string, args ...string) component {
	return component{Name: name, Args: append(args, c.record.Flags[name]...)}
}

// startControlPlane starts etcd and the API server, each as soon as what it needs answers, and then all that needs it.
func (c *Cluster) startControlPlane(ctx context.Context, bin binaries) error {
	h, data := c.control, filepath.Join(c.control.folder, "data")
	pki := func(name string) string { return filepath.Join(c.folder, "pki", name) }

	etcd := c.with("etcd", bin.path("etcd"),
		"--data-dir="+filepath.Join(data, "etcd"),
		"--unsafe-no-fsync", // its data ends with the cluster
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380", "--log-level=warn")
	if err := h.start(ctx, etcd); err != nil {
		return err
	}
	if err := h.ready(ctx, "etcd", c.answers(ctx, "http://127.0.0.1:2379/health")); err != nil {
		return err
	}

	server := c.with("kube-apiserver", bin.path("kube-apiserver"),
		"--etcd-servers=http://127.0.0.1:2379",
		"--advertise-address="+c.plan.control(), "--secure-port=6443",
		"--service-cluster-ip-range="+c.plan.services(),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--allow-privileged",
		"--client-ca-file="+pki("ca.crt"),
		"--tls-cert-file="+pki("kube-apiserver.crt"), "--tls-private-key-file="+pki("kube-apiserver.key"),
		"--kubelet-client-certificate="+pki("kubelet-client.crt"), "--kubelet-client-key="+pki("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		// With these an APIService can be served from inside, for example metrics for an autoscaler.
		"--proxy-client-cert-file="+pki("front-proxy.crt"), "--proxy-client-key-file="+pki("front-proxy.key"),
		"--requestheader-client-ca-file="+pki("ca.crt"), "--requestheader-allowed-names=front-proxy",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+pki("sa.key"), "--service-account-signing-key-file="+pki("sa.key"))
	if err := h.start(ctx, server); err != nil {
		return err
	}
	if err := h.ready(ctx, "kube-apiserver", func() error { return c.api.get(ctx, "/readyz", nil) }); err != nil {
		return err
	}
	c.say("API server ready")

	// The defaults of 20 and 50 requests a second make these two, not the product, the bottleneck of a rollout.
	throttle := []string{"--leader-elect=false", "--bind-address=127.0.0.1", "--kube-api-qps=500", "--kube-api-burst=1000"}
	manager := c.with("kube-controller-manager", append([]string{
		bin.path("kube-controller-manager"),
		"--kubeconfig=" + pki("kube-controller-manager.kubeconfig"),
		"--service-account-private-key-file=" + pki("sa.key"), "--root-ca-file=" + pki("ca.crt"),
		"--cluster-signing-cert-file=" + pki("ca.crt"), "--cluster-signing-key-file=" + pki("ca.key"),
		"--use-service-account-credentials",
	}, throttle...)...)
	scheduler := c.with("kube-scheduler", append([]string{
		bin.path("kube-scheduler"), "--kubeconfig=" + pki("kube-scheduler.kubeconfig"),
	}, throttle...)...)
	router := c.with("router", c.tool(), hookRouter, c.folder)
	for _, component := range []component{manager, scheduler, router} {
		if err := h.start(ctx, component); err != nil {
			return err
		}
	}
	return c.startDNS(ctx, bin)
}

// answers returns a probe of a URL in the control host's network.
func (c *Cluster) answers(ctx context.Context, url string) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := c.http.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, response.Status)
		}
		return nil
	}
}

const corefile = `.:53 {
    errors
    ready
    kubernetes cluster.local in-addr.arpa {
        kubeconfig %s
    }
    cache 5
}
`

// startDNS runs CoreDNS on the control host behind the Service that pods ask. It is no pod,
// so that a test that drains or kills a node does not take names away by the way.
func (c *Cluster) startDNS(ctx context.Context, bin binaries) error {
	conf := filepath.Join(c.control.folder, "Corefile")
	admin := filepath.Join(c.folder, "pki", "admin.kubeconfig")
	if err := os.WriteFile(conf, fmt.Appendf(nil, corefile, admin), 0o644); err != nil {
		return err
	}
	if err := c.control.start(ctx, c.with("coredns", bin.path("coredns"), "-conf", conf)); err != nil {
		return err
	}
	type object = map[string]any
	ports := func(target string) []object {
		return []object{
			{"name": "dns", "protocol": "UDP", "port": 53, target: 53},
			{"name": "dns-tcp", "protocol": "TCP", "port": 53, target: 53},
		}
	}
	service := object{
		"apiVersion": "v1", "kind": "Service",
		"metadata": object{"name": "kube-dns", "namespace": "kube-system"},
		"spec":     object{"clusterIP": c.plan.dnsService(), "ports": ports("targetPort")},
	}
	slice := object{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
		"metadata":    object{"name": "kube-dns", "namespace": "kube-system", "labels": object{"kubernetes.io/service-name": "kube-dns"}},
		"addressType": "IPv4",
		"endpoints":   []object{{"addresses": []string{c.plan.control()}, "conditions": object{"ready": true}}},
		"ports":       ports("port"),
	}
	err := poll(ctx, func() error { // the namespace kube-system comes a moment after the API server is ready
		return c.api.apply(ctx, "/api/v1/namespaces/kube-system/services/kube-dns", service)
	})
	if err != nil {
		return fmt.Errorf("make the DNS Service: %w", err)
	}
	if err := c.api.apply(ctx, "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns", slice); err != nil {
		return fmt.Errorf("make the DNS endpoints: %w", err)
	}
	return c.control.ready(ctx, "coredns", c.answers(ctx, "http://127.0.0.1:8181/ready"))
}
