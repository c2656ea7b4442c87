package load

import "sync"

// sink hands results one at a time to the caller's function. Putting never waits for that
// function, so a slow reader delays no request.
type sink struct {
	mu     sync.Mutex
	queue  []Result
	closed bool
	wake   chan struct{}
	done   chan struct{}
}

func newSink(each func(Result)) *sink {
	s := &sink{wake: make(chan struct{}, 1), done: make(chan struct{})}
	go s.run(each)
	return s
}

func (s *sink) put(r Result) {
	s.mu.Lock()
	s.queue = append(s.queue, r)
	s.mu.Unlock()
	s.ring()
}

// close returns when every result was handed over.
func (s *sink) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.ring()
	<-s.done
}

func (s *sink) ring() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sink) run(each func(Result)) {
	defer close(s.done)
	var batch []Result
	for range s.wake {
		s.mu.Lock()
		batch, s.queue = s.queue, batch[:0]
		closed := s.closed
		s.mu.Unlock()

		for _, r := range batch {
			each(r)
		}
		// closed was read with the queue, and nothing is put after close.
		if closed {
			return
		}
	}
}
