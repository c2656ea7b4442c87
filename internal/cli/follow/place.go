package follow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/status"
	"gapless.dev/gapless/internal/cli/target"
	"gapless.dev/gapless/internal/follow"
	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/git"
	"gapless.dev/gapless/internal/local"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// place is one app on this machine.
type place struct {
	app         app.App
	home        string // the app file's folder
	dir         string // what is remembered and built
	client      *local.Client
	credentials git.Credentials
	say         func(format string, args ...any)

	said   string
	failed map[string]error // builds that failed, by commit
}

func (p *place) repository() git.Repository {
	f := p.app.Follow
	r := git.Repository{URL: f.Repository, Credentials: p.credentials, Insecure: f.Insecure, Local: true}
	if !filepath.IsAbs(r.URL) && r.IsFolder() {
		r.URL = filepath.Join(p.home, r.URL)
	}
	return r
}

// check finds what is wrong before anything is asked.
func (p *place) check() error {
	if err := p.repository().Check(); err != nil {
		return fmt.Errorf("%s: follow: %w", p.app.Name, err)
	}
	if err := p.app.Follow.Rule.Check(); err != nil {
		return fmt.Errorf("%s: follow: %w", p.app.Name, err)
	}
	if _, err := git.ParseKeys(p.app.Follow.Keys); err != nil {
		return fmt.Errorf("%s: follow: %w", p.app.Name, err)
	}
	if len(p.app.Command) == 0 {
		return fmt.Errorf("%s: follow: this machine runs processes, and the app has no command", p.app.Name)
	}
	return nil
}

// lock keeps a second one from following for the same app.
func (p *place) lock() (func(), error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(p.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another gapless follows for %s here: stop it first", p.app.Name)
	}
	return func() { f.Close() }, nil
}

func (p *place) source(context.Context) (follow.Source, error) {
	keys, err := git.ParseKeys(p.app.Follow.Keys)
	return follow.Source{Repository: p.repository(), Rule: p.app.Follow.Rule, Keys: keys, Every: p.app.Follow.Every}, err
}

// Recall reads what was written down, and asks the running Gapless what is wanted.
func (p *place) Recall(ctx context.Context) (follow.Memory, string, error) {
	now, err := p.client.Status(ctx, p.app.Name)
	if err != nil {
		return follow.Memory{}, "", err
	}
	wanted := now.To
	if now.Over() {
		wanted = status.Stable(now)
	}
	m, err := target.ReadFollow(p.dir)
	if m.Started != nil && now.Source != nil && now.Source.Commit == m.Started.Commit && wanted == now.To {
		return m.Memory, m.Version, err // it may run under a longer name, see Start
	}
	return m.Memory, wanted, err
}

// Keep writes it down whole.
func (p *place) Keep(_ context.Context, m follow.Memory) error {
	kept, err := target.ReadFollow(p.dir)
	if err != nil {
		return err
	}
	if kept.Yes != nil && m.Yes == nil {
		if err := os.Remove(filepath.Join(p.dir, target.YesFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	m.Yes = nil
	return write(filepath.Join(p.dir, target.MemoryFile), target.Followed{Memory: m, Asked: kept.Asked})
}

// Ready builds the tag's tree, once for each commit.
func (p *place) Ready(ctx context.Context, t git.Tag, version string) (string, error) {
	if err := p.failed[t.Commit]; err != nil {
		return "", err
	}
	err := p.build(ctx, t, version)
	if err == nil {
		err = p.complete(t, version)
	}
	if choose.ReasonOf(err) == choose.BuildFailed {
		if p.failed == nil {
			p.failed = map[string]error{}
		}
		p.failed[t.Commit] = err // it would fail again, each minute
	}
	return "", err
}

// Start deploys what was built. A version that is wanted already, from another commit, gets a name of its own: else nothing would change.
func (p *place) Start(ctx context.Context, m follow.Mark) error {
	version := m.Version
	if before, err := p.client.Status(ctx, p.app.Name); err == nil && p.names(before, version) && (before.Source == nil || before.Source.Commit != m.Commit) {
		version += "-" + m.Commit[:min(7, len(m.Commit))]
	}
	_, err := p.client.DeployFrom(ctx, p.app.Name, rollout.Version(version), local.Origin{
		Dir: p.workDir(m.Tag), Source: &report.Source{Repository: m.Repository, Tag: m.Name, Commit: m.Commit, SignedBy: m.SignedBy},
	})
	if err != nil {
		return err
	}
	p.prune()
	return nil
}

// workDir is what the app's dir is in the tree of a tag.
func (p *place) workDir(t choose.Tag) string {
	dir := filepath.Join(p.tree(t), filepath.FromSlash(p.app.Follow.Path))
	if rel, err := filepath.Rel(p.home, p.app.Dir); err == nil && filepath.IsLocal(rel) {
		return filepath.Join(dir, rel)
	}
	return dir
}

// names tells whether a version of that name stands or is wanted.
func (p *place) names(r report.Report, version string) bool {
	if r.To == version || r.From == version {
		return true
	}
	for _, v := range r.Versions {
		if v.Name == version {
			return true
		}
	}
	return false
}

// Say prints what has changed.
func (p *place) Say(_ context.Context, s follow.Standing) error {
	text := s.Message
	var asked *choose.Tag
	if s.Asks {
		text += fmt.Sprintf("; gapless accept %s %s says yes", p.app.Name, s.Tag.Name)
		asked = &s.Tag
	}
	p.once(text)
	kept, err := target.ReadFollow(p.dir)
	if err != nil {
		return err
	}
	if (kept.Asked == nil) == (asked == nil) && (asked == nil || *kept.Asked == *asked) {
		return nil
	}
	kept.Asked, kept.Yes = asked, nil
	return write(filepath.Join(p.dir, target.MemoryFile), kept)
}

// once says a thing once.
func (p *place) once(text string) {
	if text != p.said {
		p.said = text
		p.say("%s", text)
	}
}

// write puts a value into a file whole.
func write(file string, value any) error {
	text, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
