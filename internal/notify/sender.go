package notify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/post"
)

// A Sender posts events, one after the other, and never keeps anybody waiting. What cannot be sent in some minutes is given up: a message
// is no state.
type Sender struct {
	// Keys reads a key by its name.
	Keys func(name string) ([]byte, error)
	// Trouble is told of what could not be sent.
	Trouble func(error)

	mu    sync.Mutex
	queue []letter
	runs  bool
	wg    sync.WaitGroup
	pause time.Duration // before the first repetition; 0: a second
}

type letter struct {
	target spec.Notify
	event  Event
}

const (
	// longest is how many letters wait at most; older ones are given up first.
	longest = 200
	// tries is how often one is sent.
	tries = 6
)

// Tell sends an event to all targets that want it, until ctx ends.
func (s *Sender) Tell(ctx context.Context, targets []spec.Notify, e Event) {
	e.identify()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range targets {
		if wants(t, e.Type) {
			s.queue = append(s.queue, letter{t, e})
		}
	}
	if n := len(s.queue) - longest; n > 0 {
		s.queue = append([]letter(nil), s.queue[n:]...)
		s.trouble(fmt.Errorf("%d messages are given up: too many wait", n))
	}
	if len(s.queue) > 0 && !s.runs {
		s.runs = true
		s.wg.Go(func() { s.run(ctx) })
	}
}

// Wait returns when everything was sent or given up.
func (s *Sender) Wait() { s.wg.Wait() }

func (s *Sender) run(ctx context.Context) {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 || ctx.Err() != nil {
			s.runs = false
			s.mu.Unlock()
			return
		}
		next := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		if err := s.send(ctx, next); err != nil && ctx.Err() == nil {
			s.trouble(fmt.Errorf("tell of %q: %w", next.event.Type, err))
		}
	}
}

// send tries until a letter is taken.
func (s *Sender) send(ctx context.Context, l letter) error {
	t := l.target
	address, err := t.URL, error(nil)
	if t.URLKey != "" {
		var text []byte
		if text, err = s.Keys(t.URLKey); err != nil {
			return err
		}
		address = string(text)
	}
	var key []byte
	if t.Key != "" {
		if key, err = s.Keys(t.Key); err != nil {
			return err
		}
	}
	timeout := t.Timeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	client, body := post.New(address, key, t.Header, timeout), Body(t.Template, l.event)
	pause := s.pause
	if pause <= 0 {
		pause = time.Second
	}
	for n := range tries {
		if n > 0 && !post.Sleep(ctx, pause) {
			return ctx.Err()
		}
		pause *= 2
		var status int
		status, _, err = client.Send(ctx, l.event.ID, body)
		switch {
		case err == nil && status >= 200 && status < 300:
			return nil
		case err == nil && status >= 400 && status < 500 && status != 408 && status != 429:
			return fmt.Errorf("status %d", status) // it will not be taken another time
		case err == nil:
			err = fmt.Errorf("status %d", status)
		}
	}
	return fmt.Errorf("%w (%d tries)", err, tries)
}

func (s *Sender) trouble(err error) {
	if s.Trouble != nil {
		s.Trouble(err)
	}
}
