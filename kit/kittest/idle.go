package kittest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// idleConn is a kept-alive connection that has had one answer and is silent.
type idleConn struct {
	closed    time.Time // zero: never seen closed
	announced bool      // its answer said Connection: close
}

// holdIdle opens n connections, has each answered once, and watches them until
// they are closed or the time is up.
func holdIdle(addr, path string, n int, until time.Time) (result func() []idleConn, err error) {
	conns := make([]idleConn, n)
	var watching sync.WaitGroup
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("open idle connection %d: %w", i, err)
		}
		c.SetDeadline(until)
		from := bufio.NewReader(c)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, addr)
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("first answer on idle connection %d: %w", i, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		conns[i].announced = resp.Close
		watching.Go(func() {
			defer c.Close()
			_, err := from.ReadByte() // nothing is asked, so nothing comes but the end
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				return
			}
			conns[i].closed = time.Now()
		})
	}
	return func() []idleConn {
		watching.Wait()
		return conns
	}, nil
}
