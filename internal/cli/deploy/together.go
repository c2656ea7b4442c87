package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/cli/shell"
	"gapless.dev/gapless/internal/cli/status"
	"gapless.dev/gapless/internal/cli/target"
	"gapless.dev/gapless/internal/group"
	"gapless.dev/gapless/internal/rollout"
)

// begun is what the beginning of an app's part has come to.
type begun struct {
	goal status.Goal
	// changes is set if there is a rollout to wait for.
	changes bool
}

// A party is the apps of a file while they are deployed together.
type party struct {
	sh      *shell.Shell
	target  target.Target
	begin   func(context.Context, app.App) (begun, error)
	apps    map[string]app.App
	members []group.Member
	ended   chan end
}

// end is how something that was waited for has ended.
type end struct {
	name   string
	failed error
}

// together rolls the apps in the order of their after. One that fails holds the rest back, and takes back what was rolled before, unless the
// file says hold. Where nobody comes after anybody, and nobody waits, it only begins.
func together(ctx context.Context, sh *shell.Shell, o *Options, t target.Target, f app.File, begin func(context.Context, app.App) (begun, error)) error {
	p := &party{sh: sh, target: t, begin: begin, apps: map[string]app.App{}, ended: make(chan end)}
	ordered := false
	for _, a := range f.Ordered() {
		p.apps[a.Name] = a
		p.members = append(p.members, group.Member{Name: a.Name, After: a.After, Stage: group.Waiting})
		ordered = ordered || len(a.After) > 0
	}
	if !ordered && !o.Wait.On {
		return p.onlyBegin(ctx)
	}
	return p.run(ctx, f.Group.Hold)
}

func (p *party) onlyBegin(ctx context.Context) error {
	var failed error
	for _, m := range p.members {
		b, err := p.begin(ctx, p.apps[m.Name])
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case b.changes:
			p.sh.Printf("%s: %s is wanted\n  follow it: gapless status %s -w\n", m.Name, p.apps[m.Name].Version, m.Name)
		default:
			p.sh.Printf("%s: nothing to roll\n", m.Name)
		}
	}
	return failed
}

func (p *party) run(ctx context.Context, hold bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for !group.Over(p.members, hold) {
		for _, s := range group.Next(p.members, hold) {
			p.do(ctx, s)
		}
		if !slices.ContainsFunc(p.members, func(m group.Member) bool { return m.Stage == group.Rolling || m.Stage == group.Returning }) {
			continue
		}
		select {
		case e := <-p.ended:
			p.note(e)
		case <-ctx.Done():
			return exit.With(exit.Failed, errors.New("not over yet: what was begun goes on, and what was not does not begin; gapless status shows all"))
		}
	}
	if text := group.Verdict(p.members); text != "" {
		return exit.With(exit.Failed, errors.New(text))
	}
	return nil
}

func (p *party) member(name string) *group.Member {
	return &p.members[slices.IndexFunc(p.members, func(m group.Member) bool { return m.Name == name })]
}

func (p *party) do(ctx context.Context, s group.Step) {
	m := p.member(s.Name)
	switch s.Do {
	case group.Begin:
		b, err := p.begin(ctx, p.apps[m.Name])
		switch {
		case err != nil:
			m.Stage, m.Why = group.Failed, err.Error()
		case !b.changes:
			m.Stage, m.Unchanged = group.Stands, true
			p.sh.Printf("%s: nothing to roll\n", m.Name)
		default:
			m.Stage = group.Rolling
			p.await(ctx, m.Name, b.goal)
		}
	case group.Hold:
		m.Stage = group.HeldBack
		p.sh.Printf("%s: held back\n", m.Name)
	case group.Abort:
		// It ends by itself in the same way; what it is waited for with tells.
		if _, err := p.target.Order(ctx, m.Name, rollout.Abort); err == nil {
			p.sh.Printf("%s: aborting\n", m.Name)
		}
	case group.Return:
		p.giveBack(ctx, m)
	}
}

// giveBack goes back to the version before.
func (p *party) giveBack(ctx context.Context, m *group.Member) {
	before, err := p.target.Status(ctx, m.Name)
	if err == nil {
		_, err = p.target.Order(ctx, m.Name, rollout.Undo)
	}
	if err != nil {
		m.Stage, m.Why = group.Stuck, err.Error()
		p.sh.Printf("%s: cannot be taken back: %v\n", m.Name, err)
		return
	}
	p.sh.Printf("%s: taken back\n", m.Name)
	m.Stage = group.Returning
	p.await(ctx, m.Name, status.Goal{Before: before})
}

// await tells what happens with an app, and of its end.
func (p *party) await(ctx context.Context, name string, g status.Goal) {
	go func() {
		err := errors.New("nobody tells of it any more")
		last := ""
		for r, failed := range p.target.Follow(ctx, name) {
			if err = failed; err != nil {
				break
			}
			if line := status.Line(r); line != last {
				last = line
				fmt.Fprintf(p.sh.Out, "%s  %s\n", r.At.Local().Format("15:04:05"), line)
			}
			if g.Over(r) {
				err = g.Verdict(r)
				break
			}
		}
		select {
		case p.ended <- end{name, err}:
		case <-ctx.Done():
		}
	}()
}

func (p *party) note(e end) {
	m := p.member(e.name)
	switch {
	case m.Stage == group.Returning && e.failed == nil:
		m.Stage = group.Returned
	case m.Stage == group.Returning:
		m.Stage, m.Why = group.Stuck, e.failed.Error()
	case e.failed == nil:
		m.Stage = group.Stands
	default:
		m.Stage, m.Why = group.Failed, strings.TrimPrefix(e.failed.Error(), m.Name+": ")
	}
}
