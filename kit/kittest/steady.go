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
)

// reply is one answer on a connection that is used steadily.
type reply struct {
	at        time.Time
	announced bool // it said Connection: close
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
