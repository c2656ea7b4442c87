// Package follow has the tags of a repository lead to what is live. It looks, chooses, makes ready and starts; where that happens, on a
// cluster or on one machine, comes to it through its port.
package follow

import (
	"context"
	"errors"
	"time"

	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/follow/git"
)

// Bounds of the time between two looks.
const (
	// Every is the time between two looks unless told otherwise, and Least the shortest: a server is not to be worn down by a slip of the pen.
	Every = time.Minute
	Least = time.Second
	// soon is the time between two looks while an image is waited for.
	soon = 10 * time.Second
)

// A Source is what is followed.
type Source struct {
	Repository git.Repository
	Rule       choose.Rule
	// Keys, if there are any, must have signed a tag before it is taken.
	Keys git.Keys
	// Every is the time between two looks. Default: a minute.
	Every time.Duration
}

// A Mark is one version as it is deployed: from which tag and commit, and as what.
type Mark struct {
	choose.Tag
	Version string `json:"version"`
	// Repository that the tag is of, as it may be shown.
	Repository string `json:"repository,omitempty"`
	// Digest of the image; empty where a tree is built.
	Digest string `json:"digest,omitempty"`
	// SignedBy is the key whose signature the tag carries; empty where none is asked for.
	SignedBy string `json:"signedBy,omitempty"`
}

// A Place is where versions are deployed.
type Place interface {
	// Recall returns what is remembered, and the version that is wanted there now; empty if it cannot be told.
	Recall(context.Context) (m Memory, live string, err error)
	// Keep saves what is to be remembered. It fails if somebody else has saved meanwhile.
	Keep(context.Context, Memory) error
	// Ready makes a tag ready to be started: the image exists, or the tree is built. Its error has the reason choose.NoImage as long as
	// there is only to wait.
	Ready(ctx context.Context, t git.Tag, version string) (digest string, err error)
	// Start starts the rollout. It may be called twice for one mark.
	Start(context.Context, Mark) error
	// Say tells people where following stands. It is called at each look, also when nothing has changed.
	Say(context.Context, Standing) error
}

// Memory is what is remembered from one look to the next. It is saved before anything is started.
type Memory struct {
	choose.Memory
	// Begun is the mark that was decided for and that the place may not have been told of yet.
	Begun *Mark `json:"begun,omitempty"`
}

// A Standing is where following stands.
type Standing struct {
	Reason  choose.Reason
	Message string
	// Tag is what is live or waited for, or what a yes would start.
	Tag     choose.Tag
	Version string
	// Asks is set when a person has to say yes.
	Asks bool
	// Started is set when a rollout was started by this very look.
	Started *Mark
}

// A Follower follows one source for one app.
type Follower struct {
	Place Place
	// Renew tells at each look what is followed, with the credentials of that moment.
	Renew func(context.Context) (Source, error)
	// Now is the clock. Default: time.Now.
	Now func() time.Time

	every time.Duration // of the last look
}

// Look looks once, and does what there is to do. A problem with the repository, the tag or the image is a Standing and no error; an error
// is the place's own, and the look is to be tried again.
func (f *Follower) Look(ctx context.Context) (Standing, error) {
	m, live, err := f.Place.Recall(ctx)
	if err != nil {
		return Standing{}, err
	}
	source, err := f.Renew(ctx)
	f.every = source.Every
	s := Standing{}
	if err == nil {
		s, err = f.look(ctx, source, m, live)
	}
	if err != nil {
		var p *choose.Problem
		if !errors.As(err, &p) {
			return Standing{}, err
		}
		s.Reason, s.Message = p.Reason, p.Message
	}
	return s, f.Place.Say(ctx, s)
}

func (f *Follower) look(ctx context.Context, source Source, m Memory, live string) (Standing, error) {
	if m.Begun != nil {
		return f.start(ctx, m, *m.Begun) // we went away between deciding and starting
	}
	tags, err := source.Repository.Tags(ctx)
	if err != nil {
		return Standing{}, err
	}
	plain := make([]choose.Tag, len(tags))
	for i, t := range tags {
		plain[i] = t.Tag
	}
	c := choose.Choose(source.Rule, plain, m.Memory, live)
	s := Standing{Reason: c.Reason, Message: c.Message, Tag: c.Tag, Version: c.Version, Asks: c.Asks()}
	if c.Reason == choose.UpToDate && m.Started == nil {
		m.Started, m.Version = &c.Tag, c.Version // what came otherwise must not move unnoticed either
		return s, f.Place.Keep(ctx, m)
	}
	if !c.Starts() {
		return s, nil
	}
	tag := find(tags, c.Tag)
	mark := Mark{Tag: c.Tag, Version: c.Version, Repository: source.Repository.Name()}
	if source.Keys.Set() {
		if mark.SignedBy, err = source.Repository.Verify(ctx, tag, source.Keys); err != nil {
			return s, err
		}
	}
	if m.Awaited == nil || *m.Awaited != c.Tag {
		m.Awaited = &c.Tag
		if err := f.Place.Keep(ctx, m); err != nil {
			return s, err
		}
	}
	if mark.Digest, err = f.Place.Ready(ctx, tag, c.Version); err != nil {
		return s, err
	}
	m.Started, m.Version, m.Digest, m.At = &c.Tag, c.Version, mark.Digest, f.now().UTC().Truncate(time.Second)
	m.Awaited, m.Yes, m.Begun = nil, nil, &mark
	if err := f.Place.Keep(ctx, m); err != nil {
		return s, err
	}
	return f.start(ctx, m, mark)
}

func (f *Follower) start(ctx context.Context, m Memory, mark Mark) (Standing, error) {
	s := Standing{Reason: choose.Start, Tag: mark.Tag, Version: mark.Version, Message: "started " + mark.Name + " (" + choose.Short(mark.Commit) + ")", Started: &mark}
	if err := f.Place.Start(ctx, mark); err != nil {
		return s, err
	}
	m.Begun = nil
	return s, f.Place.Keep(ctx, m)
}

func find(tags []git.Tag, t choose.Tag) git.Tag {
	for _, one := range tags {
		if one.Tag == t {
			return one
		}
	}
	return git.Tag{Tag: t}
}

func (f *Follower) now() time.Time {
	if f.Now != nil {
		return f.Now()
	}
	return time.Now()
}

// Run looks again and again until ctx ends: when it is woken, and at the latest after the time of the source. trouble is told of errors.
func (f *Follower) Run(ctx context.Context, wake <-chan struct{}, trouble func(error)) {
	failures := 0
	for {
		s, err := f.Look(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failures++
			trouble(err)
		} else {
			failures = 0
		}
		pause := f.pause(s, failures)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// pause until the next look: soon while an image is waited for, and longer the more often the place itself has failed.
func (f *Follower) pause(s Standing, failures int) time.Duration {
	every := f.every
	if every <= 0 {
		every = Every
	}
	every = max(every, Least)
	switch {
	case failures > 0:
		return min(max(every, time.Minute), time.Second<<min(failures, 6))
	case s.Reason == choose.NoImage:
		return min(every, soon)
	}
	return every
}
