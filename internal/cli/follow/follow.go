// Package follow is the command gapless follow: the tags of a repository lead to what runs on this machine.
package follow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/up"
	"gapless.dev/gapless/internal/follow"
	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/hook"
	"gapless.dev/gapless/internal/local"
)

const long = `Follow the repositories that an app file names, until Ctrl-C: when a tag with a higher version appears, build its tree by the file's build command, and deploy it to the
gapless up that runs. A rollout that fails is taken back as ever, and its tag is not tried again; the next one is.

A tag that has moved, and a version below the one before, are only taken after gapless accept. On a cluster the controller follows by itself.

Credentials come from the environment: GAPLESS_GIT_USERNAME and GAPLESS_GIT_PASSWORD for https, GAPLESS_GIT_SSH_KEY for ssh, which names a file; hosts are known by
~/.ssh/known_hosts. Calls of a git host to --hooks must be signed by GAPLESS_HOOK_SECRET; without them it is looked every minute, or as the file says.`

const example = `  gapless follow
  gapless follow -f examples/local/gapless.yaml --once`

// Options of the command.
type Options struct {
	File     string
	StateDir string
	Once     bool
	Hooks    string
}

// New returns the command.
func New(sh *shell.Shell) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:     "follow",
		Short:   "Deploy the tags of a git repository on this machine",
		Long:    long,
		Example: example,
		Args:    shell.Args(0, 0, "no arguments"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return Run(cmd.Context(), sh, o) },
	}
	cmd.Flags().StringVarP(&o.File, "file", "f", "gapless.yaml", "the app `file`")
	cmd.Flags().StringVar(&o.StateDir, "state", "", "`folder` of what survives a restart (default .gapless beside the app file, as for up)")
	cmd.Flags().BoolVar(&o.Once, "once", false, "look once, and exit with 1 if something keeps a tag from being live")
	cmd.Flags().StringVar(&o.Hooks, "hooks", "", "`address` for the calls of a git host, at /hooks/NAME, such as 127.0.0.1:8099 (default none)")
	return cmd
}

// Run follows until ctx ends.
func Run(ctx context.Context, sh *shell.Shell, o *Options) error {
	file, dir, err := up.Read(o.File)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	if o.StateDir == "" {
		o.StateDir = filepath.Join(dir, ".gapless")
	}
	state, err := filepath.Abs(o.StateDir)
	if err != nil {
		return err
	}
	credentials, err := credentialsOf(sh.Getenv)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	var places []*place
	for _, a := range file.Apps {
		if a.Follow == nil {
			continue
		}
		p := &place{
			app: a, home: dir, dir: filepath.Join(state, "follow", a.Name), client: local.Dial(sh.Socket()), credentials: credentials,
			say: func(format string, args ...any) {
				sh.Printf("%s %-12s %s\n", time.Now().Format(time.TimeOnly), a.Name, fmt.Sprintf(format, args...))
			},
		}
		if err := p.check(); err != nil {
			return exit.With(exit.Usage, err)
		}
		places = append(places, p)
	}
	if len(places) == 0 {
		return exit.Usagef("no app of %s follows a repository: write follow: {repository: ...}", o.File)
	}
	if o.Once {
		return once(ctx, places)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return forever(ctx, sh, o, places)
}

func once(ctx context.Context, places []*place) error {
	var bad error
	for _, p := range places {
		unlock, err := p.lock()
		if err != nil {
			return exit.With(exit.Usage, err)
		}
		f := &follow.Follower{Place: p, Renew: p.source}
		s, err := f.Look(ctx)
		unlock()
		if err != nil {
			return err
		}
		if s.Reason != choose.UpToDate && s.Reason != choose.Start {
			bad = exit.Silently(exit.Failed)
		}
	}
	return bad
}

func forever(ctx context.Context, sh *shell.Shell, o *Options, places []*place) error {
	var wg sync.WaitGroup
	wakes := map[string]chan struct{}{}
	for _, p := range places {
		unlock, err := p.lock()
		if err != nil {
			return exit.With(exit.Usage, err)
		}
		defer unlock()
		wake := make(chan struct{}, 1)
		wakes[p.app.Name] = wake
		p.say("follows %s", p.repository().Name())
		wg.Go(func() {
			f := &follow.Follower{Place: p, Renew: p.source}
			f.Run(ctx, wake, func(err error) { p.once(err.Error()) })
		})
	}
	failed := serveHooks(ctx, sh, o.Hooks, wakes)
	wg.Wait()
	return failed()
}

// serveHooks takes calls until ctx ends. The function that it returns tells why it could not.
func serveHooks(ctx context.Context, sh *shell.Shell, address string, wakes map[string]chan struct{}) func() error {
	if address == "" {
		return func() error { return nil }
	}
	secret := sh.Getenv("GAPLESS_HOOK_SECRET")
	if secret == "" {
		sh.Warn("--hooks takes no calls without GAPLESS_HOOK_SECRET, by which they are signed")
		return func() error { return nil }
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		sh.Warn("--hooks: %v; it is looked at times only", err)
		return func() error { return nil }
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, Handler: &hook.Receiver{
		Secret: func(_ *http.Request, name string) ([]byte, error) {
			if wakes[name] == nil {
				return nil, errors.New("there is no such app")
			}
			return []byte(secret), nil
		},
		Look: func(_ *http.Request, name string) error {
			select {
			case wakes[name] <- struct{}{}:
			default:
			}
			return nil
		},
	}}
	context.AfterFunc(ctx, func() { server.Close() })
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	return func() error {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
}
