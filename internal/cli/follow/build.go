package follow

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/git"
	"gapless.dev/gapless/internal/rollout"
)

const (
	// buildTime is more than a build takes that somebody waits for.
	buildTime = 30 * time.Minute
	// keptTrees is more than the versions that an undo, a retry or a restart can lead to.
	keptTrees = 8
)

// tree is where the files of a tag's commit lie.
func (p *place) tree(t choose.Tag) string { return filepath.Join(p.dir, "trees", t.Commit) }

// built tells whether a tree is complete: the mark beside it is written last.
func (p *place) built(t git.Tag) bool {
	_, err := os.Stat(p.tree(t.Tag) + ".built")
	return err == nil
}

// build makes a clean tree of a tag and runs the build command in it. Half a build is begun anew.
func (p *place) build(ctx context.Context, t git.Tag, version string) error {
	if p.built(t) {
		return nil
	}
	dir := p.tree(t.Tag)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	p.once("builds " + t.Name + " (" + choose.Short(t.Commit) + ")")
	if err := p.repository().Tree(ctx, t, dir); err != nil {
		return err
	}
	if err := p.run(ctx, t, version, dir); err != nil {
		return err
	}
	return os.WriteFile(dir+".built", nil, 0o600)
}

// complete tells whether a tree holds the program that the app file names.
func (p *place) complete(t git.Tag, version string) error {
	program := p.app.Expand(p.app.Command[0], app.Setting{Version: rollout.Version(version)})
	if !strings.ContainsRune(program, filepath.Separator) || filepath.IsAbs(program) {
		return nil
	}
	name := filepath.Join(p.workDir(t.Tag), program)
	info, err := os.Stat(name)
	switch {
	case err != nil || info.IsDir():
		return choose.Wrong(choose.BuildFailed, "%s was built and has no %s: let follow.build make it, or put command right", t.Name, program)
	case info.Mode()&0o111 == 0:
		return choose.Wrong(choose.BuildFailed, "%s was built, and %s is not executable: git update-index --chmod=+x %s", t.Name, program, program)
	}
	return nil
}

func (p *place) run(ctx context.Context, t git.Tag, version, dir string) error {
	if len(p.app.Follow.Build) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	var words []string
	for _, w := range p.app.Follow.Build {
		words = append(words, p.app.Expand(w, app.Setting{Version: rollout.Version(version)}))
	}
	in := filepath.Join(dir, filepath.FromSlash(p.app.Follow.Path))
	if strings.ContainsRune(words[0], filepath.Separator) && !filepath.IsAbs(words[0]) {
		words[0] = filepath.Join(in, words[0])
	}
	log, err := os.OpenFile(dir+".log", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = in, log, log
	// A tag's build must not find our credentials.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "GAPLESS_") }),
		"GAPLESS_VERSION="+version, "GAPLESS_TAG="+t.Name, "GAPLESS_COMMIT="+t.Commit)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return ctx.Err()
		}
		return choose.Wrong(choose.BuildFailed, "%s cannot be built: %s: %v; all of it is in %s.log%s", t.Name, strings.Join(words, " "), err, dir, lastLines(dir+".log"))
	}
	return nil
}

// lastLines of a log, after a line break.
func lastLines(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	out := ""
	for _, l := range lines[max(0, len(lines)-5):] {
		if len(bytes.TrimSpace(l)) > 0 {
			out += "\n    " + string(l[:min(len(l), 200)])
		}
	}
	return out
}

// prune removes the oldest trees.
func (p *place) prune() {
	marks, _ := filepath.Glob(filepath.Join(p.dir, "trees", "*.built"))
	age := func(name string) time.Time {
		info, err := os.Stat(name)
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	slices.SortFunc(marks, func(a, b string) int { return age(b).Compare(age(a)) })
	for _, mark := range marks[min(len(marks), keptTrees):] {
		tree := strings.TrimSuffix(mark, ".built")
		for _, name := range []string{mark, tree + ".log"} { // the mark first: what is half gone is not complete
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return
			}
		}
		_ = os.RemoveAll(tree)
	}
}

// credentialsOf reads them from the environment.
func credentialsOf(getenv func(string) string) (git.Credentials, error) {
	c := git.Credentials{Username: getenv("GAPLESS_GIT_USERNAME"), Password: getenv("GAPLESS_GIT_PASSWORD")}
	if file := getenv("GAPLESS_GIT_SSH_KEY"); file != "" {
		key, err := os.ReadFile(file)
		if err != nil {
			return c, err
		}
		c.SSHKey = key
	}
	if home := getenv("HOME"); home != "" {
		known, err := os.ReadFile(filepath.Join(home, ".ssh", "known_hosts"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return c, err
		}
		c.KnownHosts = known
	}
	return c, nil
}
