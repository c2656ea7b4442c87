package wrap

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A relay hands connections over, whatever they carry. It is a kit.Server.
type relay struct {
	to  string
	log *slog.Logger

	busy  atomic.Int64
	mu    sync.Mutex
	pairs map[*pair]struct{}
}

func newRelay(to string, log *slog.Logger) *relay {
	return &relay{to: to, log: log, pairs: make(map[*pair]struct{})}
}

// A pair is a client's connection and the one to the command that belongs to it.
type pair struct {
	client, child net.Conn
	opened        time.Time
	lastClient    atomic.Int64 // when the client last said something; 0 is never
	lastChild     atomic.Int64
}

// Serve accepts until the listener is closed.
func (r *relay) Serve(ln net.Listener) error {
	for {
		client, err := ln.Accept()
		if err != nil {
			var passing interface{ Temporary() bool }
			if errors.As(err, &passing) && passing.Temporary() && !errors.Is(err, net.ErrClosed) {
				time.Sleep(look) // out of file descriptors, most likely
				continue
			}
			return err
		}
		r.busy.Add(1)
		go r.relay(client)
	}
}

func (r *relay) relay(client net.Conn) {
	defer r.busy.Add(-1)
	defer client.Close()
	dialer := net.Dialer{Timeout: 10 * time.Second}
	child, err := dialer.Dial("tcp", r.to)
	if err != nil {
		r.log.Warn("the command does not take connections", "error", err)
		return
	}
	defer child.Close()
	p := &pair{client: client, child: child, opened: time.Now()}
	r.mu.Lock()
	r.pairs[p] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.pairs, p)
		r.mu.Unlock()
	}()
	var both sync.WaitGroup
	both.Go(func() { pipe(child, client, &p.lastClient) })
	both.Go(func() { pipe(client, child, &p.lastChild) })
	both.Wait()
}

// pipe copies until from ends, and tells to.
func pipe(to, from net.Conn, last *atomic.Int64) {
	buf := buffers.Get()
	defer buffers.Put(buf)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			last.Store(time.Now().UnixNano())
			if _, err := to.Write(buf[:n]); err != nil {
				from.Close() // its sender has to hear that nobody listens
				return
			}
		}
		if err != nil {
			if half, ok := to.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
				return
			}
			to.Close()
			return
		}
	}
}

// silence is for how long nobody must have said anything for a connection to count as idle.
const silence = time.Second

// idle tells that nothing is owed on the connection, by who spoke last: it is the client's turn, and that for a while.
func (p *pair) idle(now time.Time, silence time.Duration) bool {
	client, child := p.lastClient.Load(), p.lastChild.Load()
	if client == 0 && child == 0 {
		return now.Sub(p.opened) > 2*silence // longer than a client takes to begin
	}
	return child >= client && now.UnixNano()-child > int64(silence)
}

// Shutdown closes connections as they become idle, and returns when there are none, or with ctx. In the end idle is who is owed nothing.
func (r *relay) Shutdown(ctx context.Context) error {
	deadline, bounded := ctx.Deadline()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		now, enough := time.Now(), silence
		if bounded && now.Add(noticed).After(deadline) {
			enough = 0
		}
		r.mu.Lock()
		for p := range r.pairs {
			if p.idle(now, enough) {
				p.client.Close()
				p.child.Close()
			}
		}
		r.mu.Unlock()
		if r.busy.Load() == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close cuts what is left.
func (r *relay) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pairs) > 0 {
		r.log.Warn("cut", "connections", len(r.pairs))
	}
	for p := range r.pairs {
		p.client.Close()
		p.child.Close()
	}
	return nil
}

func (r *relay) quiet() <-chan struct{} { return whenNone(&r.busy) }
