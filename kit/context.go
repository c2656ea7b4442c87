package kit

import (
	"context"
	"time"
)

// serviceKey finds the service in the context of a request or a worker. It is
// put into a server's base context, so it costs a request nothing.
type serviceKey struct{}

func serviceOf(ctx context.Context) *Service {
	s, _ := ctx.Value(serviceKey{}).(*Service)
	return s
}

// Draining is closed when the service starts to drain. A stream or WebSocket
// handler selects on it to say goodbye while there is time. Outside a service
// it is nil, which never fires.
func Draining(ctx context.Context) <-chan struct{} {
	s := serviceOf(ctx)
	if s == nil {
		return nil
	}
	return s.draining
}

// Deadline is when whatever is still in flight will be cut. It is known only
// once the service has been asked to stop; before that, and outside a service,
// ok is false.
func Deadline(ctx context.Context) (deadline time.Time, ok bool) {
	s := serviceOf(ctx)
	if s == nil {
		return time.Time{}, false
	}
	return s.cutAt()
}

// Track counts work that outlives its request, such as a hijacked connection
// or something started in the background: the service waits for done before it
// closes. The context returned does not end with the request; it ends one
// second before the service cuts what is left, in time for a last word.
//
//	ctx, done := kit.Track(r.Context())
//	go func() {
//		defer done()
//		work(ctx)
//	}()
//
// Outside a service the work is just not waited for.
func Track(ctx context.Context) (context.Context, func()) {
	s := serviceOf(ctx)
	if s == nil {
		return context.WithoutCancel(ctx), func() {}
	}
	return s.tasks.start(context.WithoutCancel(ctx), "tracked")
}

// cutAt is the absolute end of the time for requests in flight.
func (s *Service) cutAt() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped.IsZero() {
		return time.Time{}, false
	}
	return s.stopped.Add(s.split.Total - s.split.Close), true
}

// killedAt is the last moment to exit by itself.
func (s *Service) killedAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped.Add(s.split.Total)
}
