package report

import "strings"

// A Place is where an app runs: on this machine, or in a namespace of a cluster.
type Place struct {
	// Platform is local or kube.
	Platform string `json:"platform"`
	// Socket of the Gapless that runs it on this machine.
	Socket string `json:"socket,omitempty"`
	// Context of the kubeconfig; empty inside a pod. Namespace of the app.
	Context   string `json:"context,omitempty"`
	Namespace string `json:"namespace,omitempty"`
}

// The platforms.
const (
	Local = "local"
	Kube  = "kube"
)

// String says it for a person: kube, context prod, namespace shop.
func (p Place) String() string {
	parts := []string{p.Platform}
	if p.Socket != "" {
		parts = append(parts, "socket "+p.Socket)
	}
	if p.Context != "" {
		parts = append(parts, "context "+p.Context)
	}
	if p.Namespace != "" {
		parts = append(parts, "namespace "+p.Namespace)
	}
	return strings.Join(parts, ", ")
}

// Instances is what one copy of a version is called there: 1 pod, 3 pods.
func (p Place) Instances(n int) string {
	one, many := "process", "processes"
	if p.Platform == Kube {
		one, many = "pod", "pods"
	}
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}
