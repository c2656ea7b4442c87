package kit

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Cut is what the deadline cut off, or an app left behind. All zero after a
// clean stop.
type Cut struct {
	// Requests whose handler was still running.
	Requests int64 `json:"requests"`
	// Connections taken over by the app (WebSocket) and still open. Their
	// handlers, if they still run, are in Requests as well.
	Hijacked int `json:"hijacked"`
	// Servers, other than HTTP, that had not ended.
	Servers []string `json:"servers,omitempty"`
	// Tasks are workers and tracked work, by name.
	Tasks []string `json:"tasks,omitempty"`
}

func (c Cut) any() bool {
	return c.Requests > 0 || c.Hijacked > 0 || len(c.Servers) > 0 || len(c.Tasks) > 0
}

const (
	// lastWord is how long before the cut the contexts of tracked work end,
	// for a WebSocket's close frame.
	lastWord = time.Second
	// afterCut is how long a handler has to notice that its context ended.
	afterCut = 250 * time.Millisecond
)

// quiesce ends what is on its way. The order matters: http.Server.Shutdown
// drops a request that it meets on a connection just accepted or just
// awoken, so it comes only when there are none.
func (s *Service) quiesce() Cut {
	limit, _ := s.cutAt()
	ctx, cancel := context.WithDeadline(context.Background(), limit)
	defer cancel()

	word := time.AfterFunc(time.Until(limit)-lastWord, s.tasks.cancel)
	defer word.Stop()

	// Servers of other kinds tell their clients themselves and know best
	// when the last of their calls has ended.
	others := s.shutdownOthers(ctx)
	s.until(func() bool { return !s.busy() && others.none() })
	slowest := time.Now().Add(patience) // a header may take this long, no longer
	s.until(func() bool { return s.closeIdle() || time.Now().After(slowest) })
	s.shutdownHTTP(ctx)

	// Whatever runs now is cut, also what ends in the moment that is left to
	// it: its client did not get what it asked for.
	left := Cut{
		Requests: s.inFlight.Load(),
		Hijacked: s.sum().hijacked,
		Servers:  others.names(),
		Tasks:    s.tasks.names(),
	}
	s.cut()
	s.tasks.cancel()
	for grace := time.Now().Add(afterCut); s.busy() && time.Now().Before(grace); {
		time.Sleep(look)
	}
	s.closeAll()
	return left
}

// busy reports whether anybody is being answered or about to ask.
func (s *Service) busy() bool {
	sum := s.sum()
	return s.inFlight.Load() > 0 || s.tasks.count() > 0 || sum.young+sum.active+sum.hijacked > 0
}

// sum is the tally of all listeners.
func (s *Service) sum() (total tally) {
	for _, l := range s.listeners {
		one := l.tally()
		total.open += one.open
		total.young += one.young
		total.active += one.active
		total.hijacked += one.hijacked
	}
	return total
}

// still is for how long an idle connection must have been silent, twice
// looked at, to be closed: for a byte that net/http reads ahead while it
// answers, the first look may come too early.
const still = 20 * time.Millisecond

// closeIdle closes the HTTP/1 connections that wait for a next request, where
// none has begun to come; done when there are none left. net/http would close
// them by state alone, also when half a header has been read. HTTP/2 has a
// goodbye of its own and is left to Shutdown.
func (s *Service) closeIdle() (done bool) {
	waiting, begun := s.idle()
	if len(waiting) == 0 {
		return !begun && !s.busy()
	}
	time.Sleep(still)
	for _, t := range waiting {
		if idle, begun := t.idle(); idle && !begun {
			t.forget()
			t.raw.Close()
		}
	}
	return false
}

// idle lists the HTTP/1 connections that wait for a request, and says whether
// on others one has begun to come.
func (s *Service) idle() (waiting []*track, begun bool) {
	for _, l := range s.listeners {
		if l.foreign {
			continue
		}
		for _, t := range l.tracks() {
			idle, asking := t.idle()
			switch {
			case !idle || t.speaksHTTP2():
			case asking:
				begun = true
			default:
				waiting = append(waiting, t)
			}
		}
	}
	return waiting, begun
}

// shutdownHTTP ends what is idle: HTTP/2 connections, with a GOAWAY.
func (s *Service) shutdownHTTP(ctx context.Context) {
	var servers sync.WaitGroup
	for _, srv := range s.servers {
		if srv.http != nil {
			servers.Go(func() { _ = srv.http.Shutdown(ctx) })
		}
	}
	servers.Wait()
}

// closeAll cuts what is left: by server, and what the app has taken over.
func (s *Service) closeAll() {
	for _, srv := range s.servers {
		if err := srv.srv.Close(); err != nil {
			s.log.Debug("close", "server", srv.name, "error", err)
		}
	}
	for _, l := range s.listeners {
		for _, t := range l.tracks() {
			if http.ConnState(t.state.Load()) == http.StateHijacked {
				t.raw.Close()
			}
		}
	}
}

// ending is the set of servers whose Shutdown has not returned.
type ending struct {
	mu   sync.Mutex
	left []string
}

func (e *ending) none() bool { return len(e.names()) == 0 }

func (e *ending) names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.left...)
}

func (s *Service) shutdownOthers(ctx context.Context) *ending {
	e := &ending{}
	for _, srv := range s.servers {
		if srv.http != nil || srv.ln == nil {
			continue
		}
		e.left = append(e.left, srv.name)
		go func() {
			s.waitHandedOver(ctx, srv)
			if err := srv.srv.Shutdown(ctx); err != nil {
				return // cut; stays in the set
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			for i, name := range e.left {
				if name == srv.name {
					e.left = append(e.left[:i], e.left[i+1:]...)
					return
				}
			}
		}()
	}
	return e
}

// waitHandedOver waits until a server has taken all connections that were
// accepted for it: one that has been told to stop would drop them.
func (s *Service) waitHandedOver(ctx context.Context, srv *server) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for srv.ln.tally().young > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
