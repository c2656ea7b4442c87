package world

import (
	"fmt"
	"net"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The ways to a Service.
const (
	ClusterIP    = "ClusterIP"
	NodePort     = "NodePort"
	LoadBalancer = "LoadBalancer"
)

// Expose makes the Service one of type LoadBalancer, which has all three addresses, and has the load come in by one of them.
func (w *World) Expose(via string) {
	w.Helper()
	Check(w.T, w.Patch(w.Context(), w.Service(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"type":"LoadBalancer"}}`))))
	w.Eventually("the Service has an address", 30*time.Second, func() error {
		if len(w.Service().Status.LoadBalancer.Ingress) == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
	w.Via = via
}

// Address is where requests are sent to.
func (w *World) Address() string {
	w.Helper()
	if w.Host != "" {
		return w.Host
	}
	s := w.Service()
	switch w.Via {
	case NodePort:
		var nodes corev1.NodeList
		Check(w.T, w.List(w.Context(), &nodes))
		for _, n := range nodes.Items {
			for _, a := range n.Status.Addresses {
				if a.Type == corev1.NodeInternalIP {
					return net.JoinHostPort(a.Address, strconv.Itoa(int(s.Spec.Ports[0].NodePort)))
				}
			}
		}
		w.Fatal("no node has an address")
	case LoadBalancer:
		return s.Status.LoadBalancer.Ingress[0].IP
	}
	return s.Spec.ClusterIP
}
