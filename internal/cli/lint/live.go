package lint

import (
	"context"
	"strings"

	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/target"
)

// kinds of objects of a cluster that can be named, by what people call them.
var kinds = map[string]string{
	"deploy": "Deployment", "deployment": "Deployment", "deployments": "Deployment",
	"sts": "StatefulSet", "statefulset": "StatefulSet", "statefulsets": "StatefulSet",
	"ds": "DaemonSet", "daemonset": "DaemonSet", "daemonsets": "DaemonSet",
}

// workload takes deploy/NAME apart.
func workload(arg string) (kind, name string, ok bool) {
	word, name, found := strings.Cut(arg, "/")
	word, _, _ = strings.Cut(strings.ToLower(word), ".")
	kind, known := kinds[word]
	return kind, name, found && known && name != "" && !strings.ContainsAny(name, "/.")
}

// live reads a workload as it stands in the cluster, with all that is about it.
func live(ctx context.Context, sh *shell.Shell, o *Options, kind, name string) ([]byte, error) {
	cluster, err := sh.Cluster(o.Output)
	if err != nil {
		return nil, err
	}
	text, unread, err := cluster.ManifestOf(ctx, kind, name)
	if err != nil {
		return nil, target.ClusterFailed(err)
	}
	if len(unread) > 0 {
		sh.Warn("not judged, because you may not read them: %s", strings.Join(unread, ", "))
	}
	return text, nil
}
