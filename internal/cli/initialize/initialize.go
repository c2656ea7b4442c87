// Package initialize is the command gapless init: it writes an app file from what is there already.
package initialize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/rollout"
)

const long = `Write an app file, gapless.yaml, with a comment on each line. What is known comes from SOURCE:

  deploy/NAME          a Deployment of the cluster, with its Service, autoscaler and route
  FILE.yaml or -       the same as a manifest
  Dockerfile           its ports, its program, its health check
  :8080                what answers at a port of this machine: the program and its folder, and what it answers to the usual paths of health

Without SOURCE it asks. What cannot be known is asked for too, or stands at the end of the file as something to look at.`

const example = `  gapless init
  gapless init deploy/demo-api -n shop
  gapless init Dockerfile --image registry.example.org/demo-api:{version}
  gapless init :8080 -o gapless.yaml`

// Options of the command.
type Options struct {
	Source  string
	Name    string
	Image   string
	Version string
	File    string
	Force   bool
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "init [SOURCE]",
		Short:   "Write an app file from what is there already",
		Long:    long,
		Example: example,
		Args:    shell.Args(0, 1, "[SOURCE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Source = args[0]
			}
			return Run(cmd.Context(), sh, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", "", "the `name` of the app (default what the source says); of several Deployments in a manifest, the one that is meant")
	f.StringVar(&o.Image, "image", "", "the `image` that a cluster runs, with {version} in it")
	f.StringVar(&o.Version, "app-version", "", "the `version` to begin with (default what the source says, or 1.0.0)")
	f.StringVarP(&o.File, "output", "o", "gapless.yaml", "the `file` to write; - prints it")
	f.BoolVar(&o.Force, "force", false, "write over a file that is there")
	return cmd
}

// Run drafts and writes the file.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	if _, err := os.Stat(o.File); err == nil && o.File != "-" && !o.Force {
		return exit.Usagef("%s is there already: say --force to write over it, or -o for another one", o.File)
	}
	d, err := draft(ctx, sh, o)
	if err != nil {
		return err
	}
	settle(&d, o)
	if o.Source == "" {
		if err := ask(sh, &d); err != nil {
			return err
		}
	}
	d.Head = append([]string{"yaml-language-server: $schema=" + app.SchemaID}, d.Head...)
	text := app.Write(d)
	if _, err := app.Parse(o.File, text); err != nil {
		return exit.With(exit.Usage, fmt.Errorf("%w\nwhat would have been written:\n%s", err, text))
	}
	if o.File == "-" {
		_, err := sh.Out.Write(text)
		return err
	}
	if err := os.WriteFile(o.File, text, 0o644); err != nil {
		return err
	}
	sh.Printf("%s is written\n", o.File)
	for _, line := range d.Open {
		sh.Printf("  to look at: %s\n", line)
	}
	if len(d.App.Command) > 0 {
		sh.Printf("  run it here: gapless up -f %s\n", o.File)
	}
	if d.App.Image.Name != "" {
		sh.Printf("  on a cluster: gapless deploy -f %s --on kube --dry-run\n", o.File)
	}
	return nil
}

func draft(ctx context.Context, sh *shell.Shell, o *Options) (app.Draft, error) {
	switch kind, name, _ := strings.Cut(o.Source, "/"); {
	case o.Source == "":
		return app.Draft{App: defaults()}, nil
	case kind == "deploy" || kind == "deployment" || kind == "deployments":
		c, err := sh.Cluster(shell.Output{})
		if err != nil {
			return app.Draft{}, err
		}
		text, unread, err := c.Manifest(ctx, name)
		if err != nil {
			return app.Draft{}, exit.With(exit.Usage, err)
		}
		d, err := fromManifest(bytes.NewReader(text), name)
		for _, u := range unread {
			d.Open = append(d.Open, "not read: "+u)
		}
		d.Head = append(d.Head, "Made by gapless init from "+o.Source+".")
		return d, err
	case strings.HasPrefix(o.Source, ":") || hostPort.MatchString(o.Source):
		return fromPort(ctx, o.Source)
	case strings.HasPrefix(filepath.Base(o.Source), "Dockerfile") || strings.HasSuffix(o.Source, ".Dockerfile"):
		text, err := os.ReadFile(o.Source)
		if err != nil {
			return app.Draft{}, unreadable(o.Source, err)
		}
		return fromDockerfile(text, o.Source)
	}
	from := io.Reader(sh.In)
	if o.Source != "-" {
		f, err := os.Open(o.Source)
		if err != nil {
			return app.Draft{}, unreadable(o.Source, err)
		}
		defer f.Close()
		from = f
	}
	d, err := fromManifest(from, o.Name)
	d.Head = append(d.Head, "Made by gapless init from "+o.Source+".")
	return d, err
}

func unreadable(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return exit.Usagef("there is no file %s: give deploy/NAME, a manifest, a Dockerfile, or a port such as :8080", name)
	}
	return exit.With(exit.Usage, err)
}

var hostPort = regexp.MustCompile(`^(localhost|127\.0\.0\.1|\[::1\]):\d+$`)

// defaults are those of an app file.
func defaults() app.App {
	return app.App{
		Replicas: 2,
		Health:   app.Health{Startup: time.Minute},
		Stop:     app.Stop{Drain: 5 * time.Second, Grace: 30 * time.Second},
		Plan: rollout.Plan{Strategy: rollout.Canary, Deadline: 10 * time.Minute, Steps: []rollout.Step{
			{Weight: 10, Pause: 30 * time.Second}, {Weight: 50, Pause: 30 * time.Second},
		}},
	}
}

// settle puts what the flags say over what the source says, and what nobody says where something must stand.
func settle(d *app.Draft, o *Options) {
	a := &d.App
	if o.Name != "" {
		a.Name = o.Name
	}
	if a.Name = toName(a.Name); a.Name == "" {
		if dir, err := os.Getwd(); err == nil {
			a.Name = toName(filepath.Base(dir))
		}
	}
	if o.Image != "" {
		a.Image.Name = o.Image
	}
	if o.Version != "" {
		a.Version = rollout.Version(o.Version)
	}
	if app.ValidVersion(string(a.Version)) != nil {
		a.Version = "1.0.0"
	}
}

var notName = regexp.MustCompile(`[^a-z0-9-]+`)

// toName makes the name of an app of any text.
func toName(text string) string {
	text = strings.Trim(notName.ReplaceAllString(strings.ToLower(text), "-"), "-")
	return strings.Trim(text[:min(len(text), 63)], "-")
}
