// Package adopt is the command gapless adopt.
package adopt

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/report"
)

const long = `Put a Deployment into the care of Gapless: from then on, whoever changes its template begins a rollout by the strategy.

It shows the Rollout, what a rollout would do and what is to be known before, and makes the Rollout on yes. The
Deployment gets one label; its template is not touched and no pod is restarted. gapless eject undoes it.`

const example = `  gapless adopt deploy/demo-api --strategy canary
  gapless adopt deploy/demo-api --strategy blue-green -n shop --yes`

// strategies by the word on the command line.
var strategies = map[string]func() *v1alpha1.Strategy{
	"recreate":   func() *v1alpha1.Strategy { return &v1alpha1.Strategy{Recreate: &v1alpha1.Recreate{}} },
	"rolling":    func() *v1alpha1.Strategy { return &v1alpha1.Strategy{Rolling: &v1alpha1.Rolling{}} },
	"blue-green": func() *v1alpha1.Strategy { return &v1alpha1.Strategy{BlueGreen: &v1alpha1.BlueGreen{}} },
	"canary": func() *v1alpha1.Strategy {
		return &v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: []v1alpha1.Step{{Weight: new(int32(25)), Pause: "30s"}, {Weight: new(int32(50)), Pause: "30s"}}}}
	},
}

// Options of the command.
type Options struct {
	Target   string
	Strategy string
	Yes      bool
	Output   shell.Output
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "adopt deploy/NAME",
		Short:   "Put a Deployment of a cluster into the care of Gapless",
		Long:    long,
		Example: example,
		Args:    shell.Args(1, 1, "deploy/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Target = args[0]
			return Run(cmd.Context(), sh, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Strategy, "strategy", "", "recreate, rolling, blue-green or canary (default the Deployment's own)")
	f.BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	o.Output.Register(cmd, "text", "json")
	return cmd
}

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

// Run shows, asks and adopts.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	name, err := deploymentName(o.Target)
	if err != nil {
		return err
	}
	r := &v1alpha1.Rollout{}
	if o.Strategy != "" {
		make, known := strategies[o.Strategy]
		if !known {
			return exit.Usagef("--strategy is %q: give recreate, rolling, blue-green or canary", o.Strategy)
		}
		r.Spec.Strategy = make()
	}
	cluster, err := sh.Cluster(o.Output)
	if err != nil {
		return err
	}
	c, namespace := cluster.Client(), cluster.Place().Namespace
	r.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Rollout"))
	r.Name, r.Namespace = name, namespace

	preview, err := kube.PreviewOf(ctx, c, r, "the next version")
	if apierrors.IsNotFound(err) {
		return exit.Usagef("there is no Deployment %s in namespace %s", name, namespace)
	}
	if err != nil {
		return err
	}
	// The API server's own word, before anybody is asked anything.
	if err := c.Create(ctx, r.DeepCopy(), client.DryRunAll); err != nil {
		if kube.NotInstalled(err) {
			return fmt.Errorf("this cluster does not know Rollouts: gapless install | kubectl apply -f -")
		}
		return exit.With(exit.Usage, err)
	}
	if o.Output.JSON() {
		e := json.NewEncoder(sh.Out)
		e.SetIndent("", "  ")
		if err := e.Encode(preview); err != nil {
			return err
		}
	} else if err := show(sh, r, preview); err != nil {
		return err
	}
	if !o.Yes && !asked(sh) {
		sh.Warn("nothing was changed")
		return exit.Silently(exit.Failed)
	}
	if err := c.Create(ctx, r); err != nil {
		return err
	}
	if !o.Output.JSON() {
		sh.Printf("%s/%s is adopted\n  look:  kubectl -n %s get gro %s\n  leave: gapless eject %s -n %s\n", namespace, name, namespace, name, name, namespace)
	}
	return nil
}

func show(sh *shell.Shell, r *v1alpha1.Rollout, p report.Preview) error {
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "Rollout",
		"metadata": metav1.ObjectMeta{Name: r.Name, Namespace: r.Namespace}, "spec": r.Spec,
	})
	if err != nil {
		return err
	}
	services := "no Service"
	if len(p.Services) > 0 {
		services = strings.Join(slices.Sorted(slices.Values(p.Services)), ", ")
	}
	sh.Printf("%s\nA rollout by %s, with %d replicas, through %s:\n", strings.ReplaceAll(string(text), "  creationTimestamp: null\n", ""), p.Plan.Strategy, p.Replicas, services)
	for i, s := range p.Steps {
		sh.Printf("  %d. %s\n", i+1, s.Text)
	}
	sh.Printf("\nTo be known before:\n")
	for _, risk := range p.Notes {
		sh.Printf("  - %s\n", risk)
	}
	sh.Printf("\n")
	return nil
}

func asked(sh *shell.Shell) bool {
	if !sh.Interactive() {
		sh.Warn("nobody is there to ask: say yes with --yes")
		return false
	}
	sh.Printf("Adopt it? [y/N] ")
	line, _ := bufio.NewReader(sh.In).ReadString('\n') // nothing is no
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}
