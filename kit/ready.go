package kit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"
)

// gate is a condition of readiness.
type gate struct {
	name string
	met  func(context.Context) error
	open chan struct{} // closed when met returned nil
}

// ReadyWhen makes f a condition of readiness: the service listens and is ready
// when all of them have returned nil. They run side by side in the background,
// from the start; one that fails is tried again, after a growing pause of at
// most 5 s. ctx ends when the service is asked to stop.
func (s *Service) ReadyWhen(name string, f func(ctx context.Context) error) {
	s.gates = append(s.gates, &gate{name, f, make(chan struct{})})
}

const (
	firstPause = 250 * time.Millisecond
	mostPause  = 5 * time.Second
)

func (s *Service) openGates() {
	for _, g := range s.gates {
		go s.tryGate(g)
	}
}

func (s *Service) tryGate(g *gate) {
	ctx, cancel := context.WithCancel(s.base)
	defer cancel()
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		err := g.met(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			close(g.open)
			return
		}
		s.log.Warn("not ready yet", "waitingFor", g.name, "error", err, "retryIn", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// waitingFor names the conditions that have not been met.
func (s *Service) waitingFor() []string {
	var names []string
	for _, g := range s.gates {
		if !closed(g.open) {
			names = append(names, g.name)
		}
	}
	return names
}

// isReady is the one answer that /readyz and the ready file give, with why not.
func (s *Service) isReady() (bool, string) {
	switch phase := s.Phase(); {
	case phase == PhaseStarting:
		return false, "starting"
	case phase == PhaseDraining && s.readiness == ServeTerminating:
	case phase != PhaseReady:
		return false, "stopping (" + string(phase) + ")"
	}
	for _, d := range s.deps {
		if d.required && !d.up() {
			return false, "dependency " + d.name + " is down"
		}
	}
	return true, ""
}

// readinessChanged brings the ready file up to date. It is called after
// whatever may have changed readiness.
func (s *Service) readinessChanged() {
	if s.readyFile == "" {
		return
	}
	s.filePlace.Lock()
	defer s.filePlace.Unlock()
	var err error
	if ready, _ := s.isReady(); ready {
		err = os.WriteFile(s.readyFile, []byte("ready\n"), 0o644)
	} else if err = os.Remove(s.readyFile); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		s.log.Error("ready file", "error", err)
	}
}
