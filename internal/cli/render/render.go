// Package render is the command gapless render.
package render

import (
	"io"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/app/render"
	"gapless.dev/gapless/internal/cli/appfile"
	"gapless.dev/gapless/internal/cli/shell"
)

const long = `Print what an app file means on a cluster, as plain Kubernetes objects: Deployment, Service, ServiceAccount, PodDisruptionBudget, and where the file asks for them ConfigMap,
HorizontalPodAutoscaler and the route, and last the Rollout. Nothing is sent anywhere. The same file gives the same text.

They keep every rule of gapless lint; where the file itself asks for something that does not, that is told beside the output. Whoever leaves Gapless keeps this text
without the Rollout.`

const example = `  gapless render
  gapless render -f gapless.yaml 2.0.0 | kubectl apply --server-side -f -
  gapless render --router gatewayapi -n shop > k8s.yaml`

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &appfile.Options{}
	cmd := &cobra.Command{
		Use:     "render [VERSION | NAME=VERSION...]",
		Short:   "Print an app file as plain Kubernetes objects",
		Long:    long,
		Example: example,
		Args:    shell.Args(0, 100, "[VERSION | NAME=VERSION...]"),
		RunE: func(_ *cobra.Command, args []string) error {
			return Run(sh, o, args)
		},
	}
	o.Register(cmd, "gapless.yaml")
	return cmd
}

// Run prints.
func Run(sh *shell.Shell, o *appfile.Options, versions []string) error {
	f, err := o.Read()
	if err != nil {
		return err
	}
	if err := appfile.Versions(&f, versions); err != nil {
		return err
	}
	all, err := o.Objects(sh, f, sh.Where.Cluster.Namespace)
	if err != nil {
		return err
	}
	_, err = io.WriteString(sh.Out, render.Text(all))
	return err
}
