package local

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// ports hands out loopback ports to processes. They lie below those that the system gives to outgoing connections: one of
// those could hold a port at the moment in which a process wants to listen on it.
type ports struct {
	mu   sync.Mutex
	used map[int]io.Closer // by port, what keeps other Gapless off it
}

const firstPort, lastPort = 12000, 31999

func (p *ports) take() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 1000 {
		n := firstPort + rand.IntN(lastPort-firstPort+1)
		if _, used := p.used[n]; used {
			continue
		}
		held, ok := claim(n)
		if ok && free(n) {
			p.reserve(n, held)
			return n, nil
		}
		release(held)
	}
	return 0, errors.New("no free loopback port between " + strconv.Itoa(firstPort) + " and " + strconv.Itoa(lastPort))
}

func (p *ports) reserve(n int, held io.Closer) {
	if p.used == nil {
		p.used = map[int]io.Closer{}
	}
	p.used[n] = held
}

// keep is for the port of a process that was adopted.
func (p *ports) keep(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held, _ := claim(n)
	p.reserve(n, held)
}

func (p *ports) give(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	release(p.used[n])
	delete(p.used, n)
}

// giveAll is for the end: what runs on has its ports by listening on them.
func (p *ports) giveAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, held := range p.used {
		release(held)
	}
	p.used = nil
}

func release(held io.Closer) {
	if held != nil {
		held.Close()
	}
}

// free asks for the port on every address: that is where many a service listens.
func free(n int) bool {
	for _, host := range []string{"127.0.0.1", ""} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(n)))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
