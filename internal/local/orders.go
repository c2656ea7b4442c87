package local

import (
	"context"
	"time"

	"gapless.dev/gapless/internal/rollout"
)

// answerTime bounds how long a command waits for the loop to take its word in.
const answerTime = 10 * time.Second

// deploy makes version the wanted one and returns the status once the loop has looked at it.
func (s *service) deploy(ctx context.Context, v rollout.Version, from Origin, by string) (Report, error) {
	if v == "" {
		return Report{}, errorf(Bad, "a deploy needs a version: gapless deploy %s VERSION", s.app.Name)
	}
	plate := templateOf(s.app)
	if plate.Source = from.Source; from.Dir != "" {
		plate.Dir = from.Dir
	}
	if problem := s.missing(plate, v); problem != "" {
		return Report{}, errorf(Refused, "%s", problem)
	}
	return s.ask(ctx, func() error {
		s.book.Wanted, s.book.WantedBy = v, by
		s.book.Templates[v] = plate
		s.prune()
		s.say("deploy of %s by %s", v, by)
		return nil
	})
}

// prune forgets how to start versions that nothing leads back to. The lock is held.
func (s *service) prune() {
	st := s.state
	keep := map[rollout.Version]bool{
		s.book.Wanted: true, s.book.FileVersion: true, st.Stable: true, st.Candidate: true, st.Previous: true, st.Rejected: true,
	}
	for v := range s.book.Templates {
		if !keep[v] && s.sets[v] == nil {
			delete(s.book.Templates, v)
		}
	}
	s.pruneConfig()
}

func (s *service) scaleTo(ctx context.Context, n int, by string) (Report, error) {
	if n < 0 {
		return Report{}, errorf(Bad, "%d instances cannot be: give 0 or more", n)
	}
	return s.ask(ctx, func() error {
		if s.book.Replicas != n {
			s.say("scaled from %d to %d by %s", s.book.Replicas, n, by)
		}
		s.book.Replicas = n
		return nil
	})
}

// order gives an order to the engine and waits for what it answers.
func (s *service) order(ctx context.Context, verb rollout.Verb, by string) (Report, error) {
	if !known(verb) {
		return Report{}, errorf(Bad, "%q is no order: there are %v", verb, verbs)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var id int64
	if _, err := s.ask(ctx, func() error {
		id = max(s.book.LastOrder, s.state.Done) + 1
		s.book.LastOrder = id
		s.book.Orders = append(s.book.Orders, rollout.Order{ID: id, Verb: verb, By: by, At: now()})
		return nil
	}); err != nil {
		return Report{}, err
	}
	var answer rollout.Answer
	if !s.await(ctx, func() bool { var ok bool; answer, ok = s.answers[id]; return ok }) {
		return Report{}, errorf(Internal, "the order %s was written down, but not answered within %v: see gapless status %s", verb, answerTime, s.app.Name)
	}
	if !answer.Obeyed {
		return Report{}, errorf(Conflict, "%s: %s", s.app.Name, answer.Message)
	}
	return s.status(), nil
}

// ask changes the book, and waits until the loop has looked at it.
func (s *service) ask(ctx context.Context, change func() error) (Report, error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return Report{}, errorf(Conflict, "%s is being stopped", s.app.Name)
	}
	err := change()
	if err == nil {
		err = s.saveBook()
	}
	s.asked++
	asked := s.asked
	s.tell()
	s.mu.Unlock()
	if err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s.await(ctx, func() bool { return s.answered >= asked })
	return s.status(), nil
}
