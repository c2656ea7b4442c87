// Package lint is the command gapless lint.
package lint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
	"gapless.dev/gapless/internal/lint/rules"
)

const long = `Find what in Kubernetes manifests would lose requests when a pod is replaced, and put it right.

FILE holds plain YAML or JSON, one or many documents, lists included; DIR is read with all
below it; - is what another command prints; deploy/NAME (sts, ds) is what stands in a cluster,
with all that is about it. Objects that belong together (Deployment, Service, PodDisruptionBudget,
autoscaler, volume claims) are judged together, so give them together.

--fix mends what follows from what is written, and asks for or leaves what does not: values of
yours come from --set, from --check, or from you at the terminal, and are never guessed.
Nothing but the mended values changes: comments, order and blanks stay. The diff is shown
first, and written after you say yes, or with --yes.

A rule that you break on purpose is put aside by an annotation on the object or its pods, with
the reason: gapless.dev/lint-ignore: "K6=one node only"

Exit code: 0 nothing found at or above --severity, 1 something was, 2 the input cannot be read
or the command line is wrong.`

const example = `  gapless lint deploy.yaml
  helm template ./chart | gapless lint -
  gapless lint deploy/api -n shop
  gapless lint k8s/ --fix --set K1.ready=/readyz --set K3.start=40s
  gapless lint k8s/ -o sarif > lint.sarif`

// Options of the command.
type Options struct {
	Fix, Yes bool
	Set      []string
	Check    string
	Severity string
	Output   shell.Output
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "lint FILE|DIR|-|deploy/NAME...",
		Short:   "Find what in Kubernetes manifests would lose requests, and mend it",
		Long:    long,
		Example: example,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit.Usagef("lint takes files, folders, - for standard input, or deploy/NAME: gapless lint deploy.yaml")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return Run(cmd.Context(), sh, o, args) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.Fix, "fix", false, "mend what can be mended, after showing the diff")
	flags.BoolVarP(&o.Yes, "yes", "y", false, "write without asking")
	flags.StringArrayVar(&o.Set, "set", nil, "a value that a rule asks for, as `KEY=VALUE`, such as K3.start=40s; for one object Deployment/api:K3.start=40s")
	flags.StringVar(&o.Check, "check", "", "`file` with a report of gapless check -o json, for what only a live test tells")
	flags.StringVar(&o.Severity, "severity", string(lint.Warning), "what exit code 1 begins at: error, warning or info")
	o.Output.Register(cmd, "text", "json", "sarif", "junit")
	return cmd
}

// Run judges the files, mends them if asked, and prints what is left.
func Run(ctx context.Context, sh *shell.Shell, o *Options, args []string) error {
	least, answers, checked, err := o.parse()
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	in, err := read(ctx, sh, o, args)
	var coded *exit.ExitError
	if errors.As(err, &coded) {
		return err
	}
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	for _, p := range in.problems {
		sh.Warn("%v", p)
	}
	if len(in.problems) == 0 && in.objects() == 0 {
		return exit.Usagef("no Kubernetes object in %s: an object has apiVersion and kind", strings.Join(args, " "))
	}
	if n := in.services(); checked != nil && n > 1 {
		return exit.Usagef("--check: a report is of one service, and there are %d here: give the manifests of the one", n)
	}
	out := sh.Out
	if o.Fix && len(in.problems) > 0 {
		sh.Warn("nothing is mended before everything can be read")
	} else if o.Fix {
		if in.files, err = mend(sh, o, in.files, answers, checked); err != nil {
			return err
		}
		if in.stdin {
			out = sh.Err // standard output is the mended manifest
		}
	}
	result := lint.Judge(rules.All, lint.NewWorld(in.files, answers, checked))
	result.Problems = in.problems
	if err := say(sh, o, result, out, least); err != nil {
		return fmt.Errorf("write the findings: %w", err)
	}
	switch {
	case len(in.problems) > 0:
		return exit.Silently(exit.Usage)
	case result.Bad(least):
		return exit.Silently(exit.Failed)
	}
	return nil
}

func (o *Options) parse() (least lint.Severity, answers lint.Answers, checked *lint.CheckReport, err error) {
	least = lint.Severity(o.Severity)
	if !least.Known() {
		return "", nil, nil, fmt.Errorf("--severity: %q is none: give error, warning or info", o.Severity)
	}
	answers = lint.Answers{}
	for _, set := range o.Set {
		key, value, err := lint.ParseAnswer(rules.All, set)
		if err != nil {
			return "", nil, nil, err
		}
		answers[key] = value
	}
	checked, err = lint.ReadCheckReport(os.ReadFile, o.Check)
	return least, answers, checked, err
}

func say(sh *shell.Shell, o *Options, r lint.Result, out io.Writer, least lint.Severity) error {
	switch o.Output.Format {
	case "json":
		return r.JSON(out)
	case "sarif":
		return r.SARIF(out, sh.Version)
	case "junit":
		return r.JUnit(out, least)
	}
	return r.Text(out, min(sh.Terminal(), widest))
}

// widest is as far as a line is read with ease.
const widest = 110

func (in input) objects() int {
	n := 0
	for _, f := range in.files {
		n += len(f.Objects)
	}
	return n
}

// services is how many workloads take requests.
func (in input) services() int {
	w, n := lint.NewWorld(in.files, nil, nil), 0
	for _, one := range w.Workloads {
		if len(w.Serves(one)) > 0 {
			n++
		}
	}
	return n
}

// input is everything that was read.
type input struct {
	files    []*manifest.File
	problems []manifest.Problem
	stdin    bool
}
