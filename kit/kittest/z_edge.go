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
	Run: func(ctx context.Context, s *Session) Result {
		var sum edgeCount
		for range s.Spec.Edges {
			one, err := s.edge(ctx)
			if err != nil {
				return fail(nil, "%v", err)
			}
			sum.add(one)
		}
		seen := fmt.Sprintf("%d stops under %d clients: %d answered, %d ends of stream, %d resets, %d others",
			s.Spec.Edges, edgeClients, sum.answered, sum.eof, sum.reset, len(sum.others))
		if sum.eof > 0 || sum.reset > s.Spec.Edges || len(sum.others) > 0 {
			return fail(sum.others, "%s", seen)
		}
		return pass("%s", seen)
	},
}

const edgeClients = 32

type edgeCount struct {
	answered, eof, reset int
	others               []string
}

func (c *edgeCount) add(o edgeCount) {
	c.answered += o.answered
	c.eof += o.eof
	c.reset += o.reset
	c.others = append(c.others, o.others...)
}

// edge stops an instance under clients that open a new connection for every
// request until they are refused.
func (s *Session) edge(ctx context.Context) (edgeCount, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in, err := s.startReady(ctx)
	if err != nil {
		return edgeCount{}, err
	}
	defer in.Kill()
	var sum edgeCount
	var mu sync.Mutex
	var clients sync.WaitGroup
	for range edgeClients {
		clients.Go(func() {
			one := knock(in.Addr(), s.Spec.Path, time.Now().Add(s.Spec.killed()+time.Second))
			mu.Lock()
			defer mu.Unlock()
			sum.add(one)
		})
	}
	time.Sleep(100 * time.Millisecond)
	err = s.terminate(in)
	clients.Wait()
	return sum, err
}

// knock asks on one new connection after the other until one is refused.
func knock(addr, path string, until time.Time) (sum edgeCount) {
	request := []byte(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, addr))
	for time.Now().Before(until) {
		err := knockOnce(addr, request)
		switch {
		case err == nil:
			sum.answered++
		case errors.Is(err, syscall.ECONNREFUSED):
			return sum
		case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
			sum.reset++
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			sum.eof++
		default:
			sum.others = append(sum.others, err.Error())
		}
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
