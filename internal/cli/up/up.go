// Package up is the command gapless up: it serves an app file.
package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/paint"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/target"
	"gapless.dev/gapless/internal/local"
)

const long = `Serve the apps of an app file on this machine until Ctrl-C: start their processes, open their ports, and answer the other commands at the socket.

Ctrl-C drains and stops the processes. With --leave they go on running, and the next up takes them over as they are; so it does after
Gapless was killed. A second Ctrl-C ends at once, and leaves what still runs.

Paths in the file count from its folder. What is wrong with the file is told all at once, each with line, value and fix; then nothing is started.`

const example = `  gapless up
  gapless up -f examples/local/gapless.yaml --quiet`

// Options of the command.
type Options struct {
	File     string
	StateDir string
	Keys     string
	Leave    bool
	Quiet    bool
	Output   shell.Output
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "up",
		Short:   "Serve an app file on this machine",
		Long:    long,
		Example: example,
		Args:    shell.Args(0, 0, "no arguments"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return Run(cmd.Context(), sh, o) },
	}
	cmd.Flags().StringVarP(&o.File, "file", "f", "gapless.yaml", "the app `file`")
	cmd.Flags().StringVar(&o.StateDir, "state", "", "`folder` of what survives a restart (default .gapless beside the app file)")
	cmd.Flags().StringVar(&o.Keys, "keys", "", "`folder` with the keys and tokens that gates name, a file each (default none)")
	cmd.Flags().BoolVar(&o.Leave, "leave", false, "leave the processes running when Gapless ends")
	cmd.Flags().BoolVarP(&o.Quiet, "quiet", "q", false, "do not show what the services print")
	o.Output.Register(cmd, "text", "json")
	return cmd
}

// Run serves until ctx ends or a signal comes.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	file, dir, err := Load(o.File)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	opts := local.Options{
		File: file, FileName: o.File, StateDir: o.StateDir, Socket: sh.Socket(), Version: sh.Version,
		Log: sh.Err, Leave: o.Leave, Keys: o.Keys,
		Ready: func(p local.Ping) { announce(sh, o, p, file) },
	}
	if opts.StateDir == "" {
		opts.StateDir = filepath.Join(dir, ".gapless")
	}
	if !o.Quiet {
		opts.Output = sh.Err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// The first signal ends the serving; from then on a signal has its usual effect.
	context.AfterFunc(ctx, stop)
	err = local.Up(ctx, opts)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return target.Failed(err)
}

// Load reads an app file, makes its paths absolute, and looks whether what it names is there. Every problem comes back at once.
func Load(name string) (app.File, string, error) {
	f, dir, problems, err := read(name)
	if err != nil {
		return app.File{}, "", err
	}
	for i := range f.Apps {
		(&look{problems, f.Lines, prefixOf(f, i), f.Bind}).at(f.Apps[i])
	}
	return f, dir, problems.ErrorOrNil()
}

// Read is Load for whoever starts nothing on this machine: what the file names need not be here, but for the files of config.
func Read(name string) (app.File, string, error) {
	f, dir, problems, err := read(name)
	if err != nil {
		return app.File{}, "", err
	}
	return f, dir, problems.ErrorOrNil()
}

func read(name string) (app.File, string, *app.Problems, error) {
	data, err := readFile(name)
	if err != nil {
		return app.File{}, "", nil, err
	}
	f, err := app.Parse(name, data)
	if err != nil {
		return app.File{}, "", nil, err
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return app.File{}, "", nil, err
	}
	dir := filepath.Dir(abs)
	problems := &app.Problems{File: name}
	for i := range f.Apps {
		settle(&f.Apps[i], dir)
		readConfig(&f.Apps[i], dir, func(field, value, what, fix string) {
			problems.Add(f.Lines, prefixOf(f, i)+field, value, what, fix)
		})
	}
	return f, dir, problems, nil
}

// prefixOf is what stands before the fields of an app in the path of a field.
func prefixOf(f app.File, i int) string {
	if _, several := f.Lines["apps"]; several {
		return fmt.Sprintf("apps[%d].", i)
	}
	return ""
}

// largest is a little more than the parser reads, so that it is the parser who refuses.
const largest = 2 << 20

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s: name the app file with -f", name)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, largest))
}

// longestConfig is what a ConfigMap can hold, so that a file that runs here runs on a cluster.
const longestConfig = 1 << 20

// readConfig puts the text of config files in the place of their names.
func readConfig(a *app.App, dir string, wrong func(field, value, what, fix string)) {
	total := 0
	for i := range a.Config {
		c := &a.Config[i]
		if c.File != "" {
			name := c.File
			if !filepath.IsAbs(name) {
				name = filepath.Join(dir, name)
			}
			text, err := readFile(name)
			if err != nil {
				wrong("config."+c.Name+".file", c.File, "cannot be read: "+reason(err), "name a file that is there, seen from the folder of this file")
				continue
			}
			c.Text, c.File = string(text), ""
		}
		total += len(c.Text)
	}
	if total > longestConfig {
		wrong("config", "", fmt.Sprintf("the files have %d bytes together, more than the %d that a cluster keeps", total, longestConfig), "put large files into the image, or beside the program")
	}
}

// settle makes paths count from the folder of the app file.
func settle(a *app.App, dir string) {
	from := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	if a.Dir == "" {
		a.Dir = dir
	}
	a.Dir, a.TLS.Cert, a.TLS.Key = from(a.Dir), from(a.TLS.Cert), from(a.TLS.Key)
}

// announce says what is served where, once it is.
func announce(sh *shell.Shell, o *Options, p local.Ping, file app.File) {
	if o.Output.JSON() {
		_ = json.NewEncoder(sh.Out).Encode(p)
		return
	}
	c := sh.Paint()
	var rows [][]string
	for _, port := range p.Ports {
		rows = append(rows, []string{c.Bold(port.App), port.Name, c.Good(url(port)), route(file, port)})
	}
	sh.Printf("%s\n", paint.Table("  ", 2, c, []string{"app", "port", "at", "takes"}, rows))
	sh.Printf("  %s\n", c.Dim("state "+p.StateDir+"   socket "+sh.Socket()))
	sh.Printf("  %s\n\n", c.Dim("gapless deploy NAME VERSION replaces a version, gapless status -w looks on, Ctrl-C stops"))
}

func url(p local.OpenPort) string {
	scheme := "http://"
	if p.TLS {
		scheme = "https://"
	}
	return scheme + p.Address
}

func route(file app.File, p local.OpenPort) string {
	for _, a := range file.Apps {
		if a.Name != p.App {
			continue
		}
		switch own := a.Name + ".localhost"; a.Route.Host + a.Route.Path {
		case "":
			return "every request"
		case own:
			return own
		default:
			return a.Route.Host + a.Route.Path + " and " + own
		}
	}
	return ""
}
