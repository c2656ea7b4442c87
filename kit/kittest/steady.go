package kittest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"gapless.dev/kit/load"
)

// burst sends n requests as fast as a client would that has waited for ready.
func (s *Session) burst(ctx context.Context, addr string, n int) []load.Result {
	const rate = 400
	return s.collect(ctx, load.Options{
		URL: "http://" + addr + s.Spec.Path, Rate: rate, For: time.Duration(n) * time.Second / rate, New: 0.5,
	})
}

// load is the steady load: half on new connections, a fifth POST.
func (s *Session) load(ctx context.Context, addr string) []load.Result {
	opts := load.Options{URL: "http://" + addr + s.Spec.Path, Rate: s.Spec.Rate, New: 0.5, Post: 0.2}
	if !s.Spec.onlyGRPC() && !s.takesPost(ctx, addr) {
		opts.Post = 0
	}
	if s.Spec.HTTP2 {
		opts.H2 = 0.2
	}
	return s.collect(ctx, opts)
}

func (s *Session) collect(ctx context.Context, opts load.Options) (results []load.Result) {
	if s.Spec.onlyGRPC() {
		opts = grpcLoad(opts)
	}
	if err := load.Run(ctx, opts, func(r load.Result) { results = append(results, r) }); err != nil {
		panic("kittest: " + err.Error()) // the options are ours
	}
	return results
}

// takesPost tries, until there was an answer: a service without POST is not
// judged by it.
func (s *Session) takesPost(ctx context.Context, addr string) bool {
	if s.Spec.ReadOnly || s.refusesPost() {
		return false
	}
	status, err := s.post(ctx, addr)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = status >= 400
	return !s.refuses
}

// refusesPost reports whether it has said so.
func (s *Session) refusesPost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refuses
}

// reply is one answer on a connection that is used steadily.
type reply struct {
	at        time.Time
	announced bool // it said Connection: close, or GOAWAY came with it
	err       error
}

// askSteadily asks on one kept-alive connection every so often, opens another
// when it is told to, and keeps what each answer said about the connection.
func askSteadily(ctx context.Context, addr, path string, every time.Duration) func() []reply {
	var replies []reply
	var asking sync.WaitGroup
	asking.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		var c net.Conn
		var from *bufio.Reader
		for {
			select {
			case <-ctx.Done():
				if c != nil {
					c.Close()
				}
				return
			case <-tick.C:
			}
			if c == nil {
				var err error
				if c, err = net.DialTimeout("tcp", addr, patience); err != nil {
					c = nil
					replies = append(replies, reply{at: time.Now(), err: err})
					continue
				}
				from = bufio.NewReader(c)
			}
			one := askOn(c, from, addr, path)
			replies = append(replies, one)
			if one.err != nil || one.announced {
				c.Close()
				c = nil
			}
		}
	})
	return func() []reply {
		asking.Wait()
		return replies
	}
}

func askOn(c net.Conn, from *bufio.Reader, addr, path string) reply {
	one := reply{at: time.Now()}
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, one.err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, addr); one.err != nil {
		return one
	}
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		one.err = err
		return one
	}
	_, one.err = io.Copy(io.Discard, resp.Body)
	one.announced = resp.Close
	return one
}
