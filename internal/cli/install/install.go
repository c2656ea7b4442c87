// Package install is the command gapless install.
package install

import (
	"io"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/install"
	"gapless.dev/gapless/internal/cli/shell"
)

const long = `Print what Gapless needs in a cluster, for kubectl apply: the definition of the Rollout, the policies that hold a changed template and
let pods drain, and the controller with no more rights than it uses. Nothing is sent anywhere.

The policies are of a kind that Kubernetes serves since 1.36. Without them (--without-policies) adopted Deployments are kept paused
at rest, and kubectl rollout resume would roll them natively.`

const example = `  gapless install | kubectl apply -f -
  gapless install --watch-namespace shop | kubectl apply -f -`

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := install.Options{}
	cmd := &cobra.Command{
		Use:     "install",
		Short:   "Print the manifests that put Gapless into a cluster",
		Long:    long,
		Example: example,
		Args:    shell.Args(0, 0, "no words"),
		RunE: func(*cobra.Command, []string) error {
			text, err := install.Manifest(o)
			if err != nil {
				return err
			}
			_, err = io.WriteString(sh.Out, text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Namespace, "namespace", "n", install.Namespace, "`namespace` of the controller")
	f.StringVar(&o.Watch, "watch-namespace", "", "drive the Rollouts of this `namespace` only, with rights in it alone (default all)")
	f.StringVar(&o.Image, "image", install.DefaultImage, "`image` of the controller")
	f.BoolVar(&o.WithoutPolicies, "without-policies", false, "leave the admission policies out")
	return cmd
}
