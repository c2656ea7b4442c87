package kittest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// idleConns is how many silent connections are watched.
const idleConns = 20

// idleConn is a kept-alive connection that has had one answer and is silent.
type idleConn struct {
	opened    time.Time
	closed    time.Time // zero: never seen closed
	announced bool      // its answer said Connection: close
}

// holdIdle opens n connections, has each answered once, and watches them until
// they are closed or the time is up.
func holdIdle(addr, path string, n int, until time.Time) (result func() []idleConn, err error) {
	conns := make([]idleConn, n)
	var watching sync.WaitGroup
	for i := range conns {
		c, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			return nil, fmt.Errorf("open idle connection %d: %w", i+1, err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		from := bufio.NewReader(c)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, addr)
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("first answer on idle connection %d: %w", i+1, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		c.SetDeadline(until)
		conns[i].opened, conns[i].announced = time.Now(), resp.Close
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

// byAge reports whether idle connections were closed because they were silent
// for so long, and not because of a stop: then those that were opened a second
// later were closed a second later.
func byAge(conns []idleConn) (age time.Duration, yes bool) {
	var ages, closes []time.Duration
	for _, c := range conns {
		if !c.closed.IsZero() && !c.announced {
			ages = append(ages, c.closed.Sub(c.opened))
			closes = append(closes, c.closed.Sub(conns[0].opened))
		}
	}
	if len(ages) < 2 {
		return 0, false
	}
	spread := func(d []time.Duration) time.Duration { return slices.Max(d) - slices.Min(d) }
	return slices.Min(ages), spread(ages) < spread(closes)/2
}
