package adopt

import (
	"strings"

	"gapless.dev/gapless/internal/cli/exit"
)

// refused says why a kind of object cannot be adopted.
var refused = map[string]string{
	"statefulset": "a StatefulSet replaces its pods one by one in order, each with its identity, so two versions cannot stand side by side; use its updateStrategy with a partition",
	"daemonset":   "a DaemonSet has one pod a node, so a second version has no room beside the first; use its updateStrategy with maxSurge",
	"replicaset":  "a bare ReplicaSet has no template that rolls; make it a Deployment",
	"pod":         "a pod is not rolled; make it a Deployment",
}

// deploymentName takes deploy/NAME apart.
func deploymentName(target string) (string, error) {
	kind, name, found := strings.Cut(target, "/")
	if !found {
		return "", exit.Usagef("%q names no kind: write deploy/%s", target, target)
	}
	kind, _, _ = strings.Cut(strings.ToLower(kind), ".")
	switch kind {
	case "deploy", "deployment", "deployments":
		if name == "" {
			return "", exit.Usagef("%q names no Deployment: write deploy/NAME", target)
		}
		return name, nil
	case "sts":
		kind = "statefulset"
	case "ds":
		kind = "daemonset"
	case "rs":
		kind = "replicaset"
	case "po":
		kind = "pod"
	}
	if why, known := refused[strings.TrimSuffix(kind, "s")]; known {
		return "", exit.Usagef("%s cannot be adopted: %s", target, why)
	}
	return "", exit.Usagef("%s cannot be adopted: only a Deployment can; write deploy/NAME", target)
}
