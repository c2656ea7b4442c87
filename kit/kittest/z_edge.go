package kittest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

var z10Edge = Rule{
	ID: "Z10", Must: true, Needs: []string{"Z3", "Z1"},
	Title: "when accepting ends, nobody who has connected is lost: no end of stream, at most one reset per stop",
	Why:   "closing a listener resets what waits in its queue, and http.Server.Shutdown drops requests just read",
	Fix:   "empty the accept queue, close, wait until no connection is new or active, only then Shutdown (kit does)",
	How:   fmt.Sprintf("%d clients open a new connection for every request until they are refused", edgeClients),
	Run: func(ctx context.Context, s *Session) Result {
		sum, err := s.edges(ctx)
		if err != nil {
			return fail(nil, "%v", err)
		}
		seen := fmt.Sprintf("%d stops under %d clients: %d answered, %d ends of stream, %d resets, %d others",
			s.Spec.Edges, edgeClients, sum.answered, sum.eof, sum.reset, sum.other)
		switch {
		case sum.eof > 0 || sum.reset > s.Spec.Edges || sum.other > 0:
			return fail(sum.examples, "%s", seen)
		case sum.unclosed > 0:
			return skip("not judged: in %d of %d stops new connections were accepted until the very end of the process", sum.unclosed, s.Spec.Edges)
		}
		return pass("%s", seen)
	},
}

const edgeClients = 32

type edgeCount struct {
	answered, eof, reset, other int
	unclosed                    int // stops whose end was none: the process was killed
	examples                    []string
}

func (c *edgeCount) add(o edgeCount) {
	c.answered += o.answered
	c.eof += o.eof
	c.reset += o.reset
	c.other += o.other
	c.unclosed += o.unclosed
	c.examples = append(c.examples, o.examples...)
}

// edges are all the stops of Z10, as many at a time as there is room for. They
// wait for the stops under load: their clients leave no time for anybody else.
func (s *Session) edges(ctx context.Context) (sum edgeCount, err error) {
	if _, err := s.stops(); err != nil {
		return sum, err
	}
	var mu sync.Mutex
	var stopping sync.WaitGroup
	done := 0
	for i := range s.Spec.Edges {
		stopping.Go(func() {
			one, failed := s.oneEdge(ctx, i)
			mu.Lock()
			defer mu.Unlock()
			sum.add(one)
			if failed != nil {
				err = failed
			}
			done++
			s.doing("stop %d of %d under %d clients that connect until the very end", done, s.Spec.Edges, edgeClients)
		})
	}
	stopping.Wait()
	return sum, err
}

// oneEdge is a stop of Z10. Where instances run one at a time, the first is
// also the one under a request that takes too long: both have the end to
// themselves, and a whole grace period is saved.
func (s *Session) oneEdge(ctx context.Context, i int) (edgeCount, error) {
	if i == 0 && s.rides() {
		both, err := s.hard()
		return both.edge, err
	}
	return s.edge(ctx, nil)
}

// rides reports whether the request that takes too long is part of a stop of Z10.
func (s *Session) rides() bool { return s.Spec.Parallel == 1 && !s.Spec.Brief }

// hardStop is a stop under clients until the end, and under a request that
// takes too long.
type hardStop struct {
	edge edgeCount
	over Result
}

func (s *Session) stopHard(ctx context.Context) (hard hardStop, err error) {
	hard.edge, err = s.edge(ctx, &hard.over)
	return hard, err
}

// edge stops an instance under clients that open a new connection for every
// request until they are refused. With over, there is also a request that
// takes too long, and what came of it is put there.
func (s *Session) edge(ctx context.Context, over *Result) (sum edgeCount, err error) {
	err = s.useReady(ctx, func(ctx context.Context, in Instance) error {
		var slow <-chan slowRequest
		if over != nil {
			slow = s.askSlowly(ctx, in.Addr(), 2*s.Spec.Grace)
		}
		stopped := time.Now().Add(100*time.Millisecond + s.Spec.hook())
		until := stopped.Add(s.Spec.killed())
		var mu sync.Mutex
		var clients sync.WaitGroup
		for range edgeClients {
			clients.Go(func() {
				one := s.knock(ctx, in.Addr(), stopped, until)
				mu.Lock()
				defer mu.Unlock()
				sum.add(one)
			})
		}
		refused := make(chan struct{})
		go func() {
			clients.Wait()
			close(refused)
		}()
		pause(ctx, time.Until(stopped.Add(-s.Spec.hook())))
		if err := terminate(in); err != nil {
			return err
		}
		select {
		case <-refused:
			if time.Now().After(until) {
				sum = edgeCount{unclosed: 1} // what a kill would cut is not the edge's
			}
		case <-ctx.Done():
		}
		if over == nil {
			in.Kill()
		} else {
			*over = s.judgeEnd(ctx, in, stopped, slow)
		}
		<-refused
		return ctx.Err()
	})
	if len(sum.examples) > 8 {
		sum.examples = sum.examples[:8]
	}
	return sum, err
}

// knock asks on one new connection after the other until one is refused.
func (s *Session) knock(ctx context.Context, addr string, stopped, until time.Time) (sum edgeCount) {
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", s.Spec.Path, addr)
	ask := func() error { return knockOnce(addr, request) }
	if s.Spec.onlyGRPC() {
		ask = func() error { return knockHTTP2(addr, s.Spec.Path) }
	}
	for time.Now().Before(until) && ctx.Err() == nil {
		began := time.Now()
		err := ask()
		switch {
		case err == nil:
			sum.answered++
			continue
		case errors.Is(err, syscall.ECONNREFUSED):
			return sum
		case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
			sum.reset++
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			sum.eof++
		default:
			sum.other++
		}
		sum.examples = append(sum.examples, fmt.Sprintf("%s: a new connection: %v", offset(began.Sub(stopped)), cause(err)))
	}
	return sum
}

func knockOnce(addr string, request []byte) error {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write(request); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(got), "HTTP/1.") {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// knockHTTP2 is one gRPC call on a connection of its own.
func knockHTTP2(addr, path string) error {
	c, err := dialHTTP2(addr, true)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.exchange(path, 0)
	return err
}
