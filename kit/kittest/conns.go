package kittest

import (
	"context"
	"fmt"
	"time"
)

// conns are the connections that an episode holds beside its load.
type conns struct {
	replies func() []reply
	idle    []func() []idleConn
	ends    map[string]<-chan goodbye
	watch   <-chan watchEnd
	http2   *http2Conn
	onlyH2  bool // there is no HTTP/1
	until   time.Time
}

// connect opens them: silent ones, one that is used steadily, streams, one of
// HTTP/2. They are watched until the given time at most.
func (s *Session) connect(ctx context.Context, e *episode, until time.Time) (*conns, error) {
	c := &conns{replies: func() []reply { return nil }, ends: make(map[string]<-chan goodbye), onlyH2: s.Spec.onlyGRPC(), until: until}
	addr := e.in.Addr()
	if !c.onlyH2 {
		c.replies = askSteadily(ctx, addr, s.Spec.Path, 50*time.Millisecond)
		idle, err := holdIdle(addr, s.Spec.Path, idleConns/2, until)
		if err != nil {
			return nil, err
		}
		c.idle = append(c.idle, idle)
	}
	c.stream(s, e, until)
	if s.Spec.HTTP2 || c.onlyH2 {
		var err error
		if c.http2, err = dialHTTP2(addr, c.onlyH2); err != nil {
			return nil, fmt.Errorf("open a connection of HTTP/2: %w", err)
		}
		if gone, err := c.http2.get(s.Spec.Path); err != nil || gone {
			return nil, fmt.Errorf("HTTP/2 before the stop: goaway %v, %v", gone, err)
		}
	}
	return c, nil
}

// stream opens what streams the spec names.
func (c *conns) stream(s *Session, e *episode, until time.Time) {
	open := func(name, path string, watch func() (<-chan goodbye, error)) {
		if path == "" {
			return
		}
		if ended, err := watch(); err != nil {
			e.unopened[name] = err
		} else {
			c.ends[name] = ended
		}
	}
	// Not bound to the load's context: a stream lasts beyond it.
	open("event stream", s.Spec.EventPath, func() (<-chan goodbye, error) {
		return watchEvents(context.Background(), e.in.Addr(), s.Spec.EventPath, until)
	})
	open("WebSocket", s.Spec.SocketPath, func() (<-chan goodbye, error) {
		return watchSocket(e.in.Addr(), s.Spec.SocketPath, until)
	})
	if s.Spec.GRPC {
		var err error
		if c.watch, err = watchHealth(context.Background(), grpcAddr(e.in), until); err != nil {
			e.unopened["gRPC health"] = err
		}
	}
}

// late opens the second half of the silent connections, some time after the
// first: one that ends by its age ends later than those, one that ends by the
// stop at the same time.
func (c *conns) late(addr, path string, until time.Time) error {
	if c.onlyH2 {
		return nil
	}
	idle, err := holdIdle(addr, path, idleConns/2, until)
	c.idle = append(c.idle, idle)
	return err
}

// goAway uses the connection of HTTP/2 once more, and again until the given
// time, and keeps which answer came with the goodbye.
func (c *conns) goAway(path string, until time.Time) <-chan []reply {
	result := make(chan []reply, 1)
	if c.http2 == nil {
		result <- nil
		return result
	}
	go func() {
		var replies []reply
		for more := true; more; {
			one := reply{at: time.Now()}
			one.announced, one.err = c.http2.get(path)
			if one.err == nil && !one.announced && c.onlyH2 {
				// A server of gRPC says it when it stops accepting.
				one.announced, one.err = c.http2.untilGoAway(c.until)
			}
			replies = append(replies, one)
			more = one.err == nil && !one.announced && time.Now().Before(until)
		}
		c.http2.Close()
		result <- replies
	}()
	return result
}

// end collects what became of them.
func (c *conns) end(e *episode) {
	e.replies = c.replies()
	for name, ended := range c.ends {
		e.streams[name] = <-ended
	}
	for _, idle := range c.idle {
		e.idle = append(e.idle, idle()...)
	}
	if c.watch != nil {
		e.grpc = <-c.watch
		e.streams["gRPC health watch"] = e.grpc.goodbye
	}
}
