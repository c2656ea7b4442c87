// Package appfile is what the commands share that make Kubernetes objects of an app file.
package appfile

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/app/render"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/up"
	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
	"gapless.dev/gapless/internal/lint/rules"
	"gapless.dev/gapless/internal/rollout"
)

// Options of a rendering, as flags.
type Options struct {
	File   string
	Router string
}

// Register adds the flags.
func (o *Options) Register(cmd *cobra.Command, file string) {
	cmd.Flags().StringVarP(&o.File, "file", "f", file, "the app `file`")
	cmd.Flags().StringVar(&o.Router, "router", "", "the router in the place of the file's: "+strings.Join(app.Routers, ", ")+", or service for none")
}

// Only leaves those apps in a file that the words name, if they name any.
func Only(f *app.File, words []string) {
	named := map[string]bool{}
	for _, w := range words {
		if name, _, ok := strings.Cut(w, "="); ok {
			named[name] = true
		}
	}
	if len(named) > 0 && len(named) < len(f.Apps) {
		f.Apps = slices.DeleteFunc(slices.Clone(f.Apps), func(a app.App) bool { return !named[a.Name] })
		f.Group.Name = "" // it is not the group any more, and nothing of the rest is to be deleted
	}
}

// Versions puts other versions into a file, each as NAME=VERSION, or as VERSION where there is one app.
func Versions(f *app.File, words []string) error {
	for _, w := range words {
		name, version, named := strings.Cut(w, "=")
		if !named {
			name, version = "", w
		}
		if err := app.ValidVersion(version); err != nil {
			return exit.With(exit.Usage, err)
		}
		i := slices.IndexFunc(f.Apps, func(a app.App) bool { return a.Name == name })
		switch {
		case !named && len(f.Apps) == 1:
			i = 0
		case !named:
			return exit.Usagef("the file has %d apps: write NAME=%s", len(f.Apps), version)
		case i < 0:
			return exit.Usagef("the file has no app %q", name)
		}
		f.Apps[i].Version = rollout.Version(version)
	}
	return nil
}

// Read reads the file.
func (o *Options) Read() (app.File, error) {
	if o.Router != "" && o.Router != "service" && !slices.Contains(app.Routers, o.Router) {
		return app.File{}, exit.Usagef("--router is %q: give %s or service", o.Router, strings.Join(app.Routers, ", "))
	}
	f, _, err := up.Read(o.File)
	if err != nil {
		return f, exit.With(exit.Usage, err)
	}
	return f, nil
}

// Objects renders the file, and tells on the side what rules the outcome breaks, which only the file can put right.
func (o *Options) Objects(sh *shell.Shell, f app.File, namespace string) ([]render.Object, error) {
	all, err := render.Objects(f, o.File, render.Options{Namespace: namespace, Router: o.Router})
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	parsed, problems := manifest.Parse(o.File, []byte(render.Text(all)))
	if len(problems) > 0 {
		return nil, fmt.Errorf("what was rendered cannot be read: %v", problems)
	}
	for _, finding := range lint.Run(rules.All, lint.NewWorld([]*manifest.File{parsed}, nil, nil)) {
		if finding.Ignored == "" {
			sh.Warn("%s %s: %s: %s", finding.Severity, finding.Rule, finding.Object, finding.What)
		}
	}
	return all, nil
}

// Unstructured is the objects as the API server takes them.
func Unstructured(all []render.Object) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for _, o := range all {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(o.Text()), &u.Object); err != nil {
			return nil, fmt.Errorf("%s: %w", o.ID(), err)
		}
		out = append(out, u)
	}
	return out, nil
}

// Diff prints what changes of a text, line by line.
func Diff(w io.Writer, c paint.Palette, name string, before, after []byte) {
	for line := range strings.Lines(string(diff.Diff(name, before, name, after))) {
		text := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(text, "diff "), strings.HasPrefix(text, "--- "), strings.HasPrefix(text, "+++ "):
			continue
		case strings.HasPrefix(text, "+"):
			text = c.Good(text)
		case strings.HasPrefix(text, "-"):
			text = c.Bad(text)
		}
		fmt.Fprintln(w, text)
	}
}
