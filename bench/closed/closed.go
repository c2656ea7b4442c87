// Package closed is a closed load: clients that each wait for an answer before they ask again. It finds out what a server can do at
// most, and is written to cost little, since it shares the processors with what it measures.
package closed

import (
	"bufio"
	"bytes"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A Turn is what one load measured.
type Turn struct {
	PerSecond, P50Ms, P99Ms float64
	Answers, Errors         int
}

var request = []byte("GET /v1/users?page=1 HTTP/1.1\r\nHost: demo-api.localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")

// Load keeps clients busy for d: each sends a request, reads the answer, and sends the next, on the same connection.
func Load(addr string, clients int, d time.Duration) Turn { return load(addr, clients, d, true) }

// LoadNew is Load with a connection for each request.
func LoadNew(addr string, clients int, d time.Duration) Turn { return load(addr, clients, d, false) }

func load(addr string, clients int, d time.Duration, keep bool) Turn {
	var mu sync.Mutex
	var all []time.Duration
	errs := 0
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			took, bad := client(addr, end, keep)
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, took...), errs+bad
		})
	}
	wg.Wait()
	if len(all) == 0 {
		return Turn{Errors: errs}
	}
	slices.Sort(all)
	ms := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))]) / 1e6 }
	return Turn{PerSecond: float64(len(all)) / d.Seconds(), P50Ms: ms(0.5), P99Ms: ms(0.99), Answers: len(all), Errors: errs}
}

func client(addr string, end time.Time, keep bool) (took []time.Duration, errs int) {
	took = make([]time.Duration, 0, 8192)
	var conn net.Conn
	var in *bufio.Reader
	for {
		start := time.Now()
		if start.After(end) {
			break
		}
		if conn == nil {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				errs++
				continue
			}
			conn, in = c, bufio.NewReader(c)
		}
		if _, err := conn.Write(request); err == nil && answer(in) {
			took = append(took, time.Since(start))
			if keep {
				continue
			}
		} else {
			errs++
		}
		conn.Close()
		conn = nil
	}
	if conn != nil {
		conn.Close()
	}
	return took, errs
}

// answer reads one answer with a Content-Length and tells whether it is a 200.
func answer(in *bufio.Reader) bool {
	line, err := in.ReadSlice('\n')
	if err != nil || !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return false
	}
	length := -1
	for {
		line, err = in.ReadSlice('\n')
		if err != nil {
			return false
		}
		if len(line) <= 2 {
			break
		}
		const name = "content-length:"
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
				return false
			}
		}
	}
	if length < 0 {
		return false
	}
	n, err := in.Discard(length)
	return err == nil && n == length
}
