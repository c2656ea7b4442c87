package kittest

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Session is one judgement of one target. Rules share what they can: most of
// them look at the same stops under load.
type Session struct {
	Target Target
	Spec   Spec

	watch   Watch
	places  chan struct{} // one for each instance that may run
	running sync.WaitGroup
	first   func() (*episode, error)
	more    func() ([]*episode, error)
	idle    func() (idleStop, error)
	hard    func() (hardStop, error)

	mu      sync.Mutex
	seen    []*episode    // the stops under load, in the order in which they ended
	late    time.Duration // of this machine, at the worst
	refuses bool          // it has refused a POST
}

// NewSession prepares to judge the target. Nothing is started yet. The context
// bounds the life of everything that will be.
func NewSession(ctx context.Context, target Target) *Session {
	s := &Session{Target: target, Spec: target.Spec().WithDefaults()}
	s.places = make(chan struct{}, s.Spec.Parallel)
	s.first = sync.OnceValues(func() (*episode, error) { return s.stopUnderLoad(ctx, 1) })
	s.more = sync.OnceValues(func() ([]*episode, error) { return s.stopAgain(ctx) })
	s.idle = sync.OnceValues(func() (idleStop, error) { return s.stopIdle(ctx) })
	s.hard = sync.OnceValues(func() (hardStop, error) { return s.stopHard(ctx) })
	return s
}

// doing tells whoever watches.
func (s *Session) doing(format string, args ...any) {
	if s.watch.Doing != nil {
		s.watch.Doing(fmt.Sprintf(format, args...))
	}
}

// use starts an instance once there is room for one, hands it to f, and ends
// all that is left of it. It ends with the context, too.
func (s *Session) use(ctx context.Context, env []string, f func(context.Context, Instance) error) error {
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	in, err := s.Target.Start(ctx, env...)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer in.Kill()
	if last, ok := ctx.Value(lastUsedKey{}).(*lastUsed); ok {
		last.set(in)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, in.Kill)()
	return f(ctx, in)
}

// lastUsed is the instance that a rule used last. What it said is evidence
// where a rule fails and has no other.
type lastUsed struct {
	mu sync.Mutex
	in Instance
}

type lastUsedKey struct{}

func (l *lastUsed) set(in Instance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.in = in
}

// words are the last lines that it wrote.
func (l *lastUsed) words() (words []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.in == nil {
		return nil
	}
	lines := l.in.Lines()
	if len(lines) == 0 {
		return []string{"it said nothing"}
	}
	for _, line := range lines[max(0, len(lines)-4):] {
		words = append(words, "it said: "+line.Text)
	}
	return words
}

// useReady is use, with an instance whose readiness has said 2xx.
func (s *Session) useReady(ctx context.Context, f func(context.Context, Instance) error) error {
	return s.use(ctx, nil, func(ctx context.Context, in Instance) error {
		if _, err := s.untilReady(ctx, in); err != nil {
			return err
		}
		return f(ctx, in)
	})
}

// untilReady polls readiness until its first 2xx, and returns when that was.
func (s *Session) untilReady(ctx context.Context, in Instance) (time.Time, error) {
	limit := time.Now().Add(s.Spec.Startup)
	var last answer
	for {
		if last = s.ready(ctx, in); last.ok() {
			return time.Now(), nil
		}
		select {
		case <-in.Exited():
			return time.Time{}, fmt.Errorf("exited with %v before it was ready%s", in.Exit(), LastWords(in))
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(limit) {
			in.Kill()
			return time.Time{}, fmt.Errorf("not ready after %v: %s: %v%s", s.Spec.Startup, s.asked(in, s.Spec.ReadyPath), last, LastWords(in))
		}
	}
}

// LastWords are the last lines of an instance, for the end of an error.
func LastWords(in Instance) string {
	lines := in.Lines()
	if len(lines) == 0 {
		return "; it said nothing"
	}
	text := "; it said:"
	for _, line := range lines[max(0, len(lines)-10):] {
		text += "\n  " + line.Text
	}
	return text
}

// terminate sends SIGTERM.
func terminate(in Instance) error {
	if err := in.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("SIGTERM: %w", err)
	}
	return nil
}

// wait waits for the instance's end, at most until the given time.
func wait(ctx context.Context, in Instance, until time.Time) (Exit, bool) {
	select {
	case <-in.Exited():
		return in.Exit(), true
	case <-ctx.Done():
	case <-time.After(time.Until(until)):
	}
	return Exit{}, false
}

// killedByPlatform reports whether a target that is killed by its platform was.
func (s *Session) killedByPlatform(exit Exit, stopped time.Time) bool {
	return s.Spec.Hooked && exit.Code == 137 && exit.At.After(stopped.Add(s.Spec.killed()-time.Second-s.Spec.Tolerance))
}

// pause sleeps, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// String is "0" or "signal terminated".
func (e Exit) String() string {
	if e.Signal != "" {
		return "signal " + e.Signal
	}
	return fmt.Sprint(e.Code)
}
