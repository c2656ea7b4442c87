// Package install is the command gapless install.
package install

import (
	"io"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/install"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/kube"
)

const long = `Print what Gapless needs in a cluster, for kubectl apply: the definition of the Rollout, the policies that hold a changed template and
let pods drain, and the controller with no more rights than it uses. Nothing is written anywhere.

The policies are of a kind that Kubernetes serves since 1.36. By default the cluster of the kubeconfig is asked whether it does, and they are
left out where it does not; if no cluster answers they are printed. Without them adopted Deployments are kept paused at rest, and kubectl
rollout resume would roll them natively.`

const example = `  gapless install | kubectl apply -f -
  gapless install --watch-namespace shop | kubectl apply -f -
  gapless install --policies always > gapless.yaml`

// Options of the command.
type Options struct {
	install.Options
	Policies string
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "install",
		Short:   "Print the manifests that put Gapless into a cluster",
		Long:    long,
		Example: example,
		Args:    shell.Args(0, 0, "no words"),
		RunE: func(*cobra.Command, []string) error {
			return Run(sh, o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Namespace, "namespace", "n", install.Namespace, "`namespace` of the controller")
	f.StringVar(&o.Watch, "watch-namespace", "", "drive the Rollouts of this `namespace` only, with rights in it alone (default all)")
	f.StringVar(&o.Image, "image", install.DefaultImage, "`image` of the controller")
	f.StringArrayVar(&o.FollowSecrets, "follow-secret", nil, "`NAMESPACE/NAME` of a Secret that the controller may read, for a Rollout that follows a git repository; may be said several times (default none)")
	f.BoolVar(&o.Hooks, "hooks", false, "have the controller take the calls of git hosts, behind the Service gapless-hooks")
	f.StringSliceVar(&o.Config, "config", nil, "`kinds`, ConfigMap or Secret, whose changes Rollouts may ask for by spec.config; the controller gets the right to read them")
	f.StringVar(&o.Policies, "policies", "auto", "the admission policies: auto, always or never")
	return cmd
}

// Run prints.
func Run(sh *shell.Shell, o *Options) error {
	switch o.Policies {
	case "always":
	case "never":
		o.WithoutPolicies = true
	case "auto":
		o.OnlyValidating = !served(sh)
	default:
		return exit.Usagef("--policies is %q: give auto, always or never", o.Policies)
	}
	text, err := install.Manifest(o.Options)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	_, err = io.WriteString(sh.Out, text)
	return err
}

// served asks the cluster, and takes no answer for yes: the manifests may be for another one.
func served(sh *shell.Shell) bool {
	config, _, err := sh.Where.Cluster.Config()
	if err != nil {
		return true
	}
	yes, err := kube.ServesPolicies(config)
	switch {
	case err != nil:
		sh.Warn("the cluster was not asked whether it serves policies, and they are printed: %v", err)
		return true
	case !yes:
		place, _ := sh.Where.Cluster.Place()
		sh.Warn("on %s: it serves no MutatingAdmissionPolicy (Kubernetes does since 1.36), so the policies of that kind are left out; --policies always prints them", place)
	}
	return yes
}
