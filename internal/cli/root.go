// Package cli is the command gapless: one folder a command, wired together here.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/accept"
	"gapless.dev/gapless/internal/cli/adopt"
	"gapless.dev/gapless/internal/cli/check"
	"gapless.dev/gapless/internal/cli/controller"
	"gapless.dev/gapless/internal/cli/demo"
	"gapless.dev/gapless/internal/cli/deploy"
	"gapless.dev/gapless/internal/cli/eject"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/follow"
	"gapless.dev/gapless/internal/cli/initialize"
	"gapless.dev/gapless/internal/cli/install"
	"gapless.dev/gapless/internal/cli/lint"
	"gapless.dev/gapless/internal/cli/order"
	"gapless.dev/gapless/internal/cli/plan"
	"gapless.dev/gapless/internal/cli/probe"
	"gapless.dev/gapless/internal/cli/render"
	"gapless.dev/gapless/internal/cli/report"
	"gapless.dev/gapless/internal/cli/scale"
	"gapless.dev/gapless/internal/cli/schema"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/status"
	"gapless.dev/gapless/internal/cli/uninstall"
	"gapless.dev/gapless/internal/cli/up"
	"gapless.dev/gapless/internal/cli/wrap"
	evidence "gapless.dev/gapless/internal/report"
)

// Main runs the command line and returns the exit code.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	return run(New, args, in, out, errOut)
}

// Plugin is Main as kubectl runs it: kubectl gapless ...
func Plugin(args []string, in io.Reader, out, errOut io.Writer) int {
	return run(func(sh *shell.Shell) *cobra.Command {
		sh.Where.On = evidence.Kube // who calls kubectl means the cluster
		root := New(sh)
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl gapless"}
		return root
	}, args, in, out, errOut)
}

func run(make func(*shell.Shell) *cobra.Command, args []string, in io.Reader, out, errOut io.Writer) int {
	sh := &shell.Shell{In: in, Out: out, Err: errOut, Getenv: os.Getenv, Version: version()}
	root := make(sh)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	if text := message(err); text != "" {
		fmt.Fprintln(errOut, text)
	}
	return exit.Code(err)
}

const long = `Gapless replaces one version of a service by the next without losing a request, and counts every one to prove it.

  gapless demo                         see it: four strategies, every request counted
  gapless up -f gapless.yaml           run your own service on this machine
  gapless deploy demo-api 2.0.0        replace its version, from a second terminal
  gapless status demo-api -w           look on

On Kubernetes, for a Deployment that you have:

  gapless install | kubectl apply -f -
  gapless adopt deploy/demo-api --strategy canary
  gapless deploy demo-api 2.0.0 --wait`

const exitCodes = `
Exit codes:
  0  done, and what was asked about holds
  1  it was done and the answer is no: requests were lost, a rollout was aborted; or it could not be done
  2  the command line or a file is wrong, or the request was refused; nothing was started
  3  no Gapless answers at the socket, and no cluster either

Environment:
  GAPLESS_SOCKET  where the running Gapless is spoken to, as --socket
  KUBECONFIG      the cluster's address and credentials, as --kubeconfig
  NO_COLOR        if set, no colours
`

// groups in the order of the help.
var groups = []*cobra.Group{
	{ID: "roll", Title: "Roll"},
	{ID: "see", Title: "See"},
	{ID: "prove", Title: "Prove"},
	{ID: "run", Title: "Run on this machine"},
	{ID: "kube", Title: "Run on Kubernetes"},
}

// New returns the root command.
func New(sh *shell.Shell) *cobra.Command {
	root := &cobra.Command{
		Use:           "gapless",
		Short:         "Replace a running version of your service without losing a request, and see it counted",
		Long:          long,
		Version:       sh.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			fix := "gapless --help lists the commands"
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				fix = "did you mean gapless " + strings.Join(near, " or gapless ") + "?"
			}
			return exit.Usagef("unknown command %q: %s", args[0], fix)
		},
	}
	root.SuggestionsMinimumDistance = 2
	cobra.EnableCommandSorting = false // the order of the help is that of use
	root.SetIn(sh.In)
	root.SetOut(sh.Out)
	root.SetErr(sh.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.Usagef("%w: %s --help lists the flags", err, cmd.CommandPath())
	})
	sh.Where.Register(root.PersistentFlags())
	root.SetUsageTemplate(root.UsageTemplate() + "{{if not .HasParent}}" + exitCodes + "{{end}}")
	root.AddGroup(groups...)

	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("roll", deploy.New(sh))
	add("roll", order.New(sh)...)
	add("roll", scale.New(sh), accept.New(sh))
	add("see", status.New(sh), plan.New(sh), report.New(sh))
	add("prove", demo.New(sh), probe.New(sh), check.New(sh), lint.New(sh))
	add("run", initialize.New(sh), up.New(sh), follow.New(sh), wrap.New(), render.New(sh), schema.New(sh))
	add("kube", install.New(sh), adopt.New(sh), eject.New(sh), uninstall.New(sh), controller.New(sh))
	for _, c := range demo.Hidden(sh) {
		root.AddCommand(c)
	}
	return root
}

// message is what a person is told of an error; empty when the output has said everything.
func message(err error) string {
	var e *exit.ExitError
	if err == nil || errors.As(err, &e) && e.Err == nil {
		return ""
	}
	return prefixed(err)
}

// prefixed marks the line as ours, unless it begins with the name of a file as compilers do.
func prefixed(err error) string {
	text := err.Error()
	if strings.Contains(text, "\n    fix: ") {
		return text
	}
	return "gapless: " + text
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
