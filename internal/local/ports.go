package local

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// ports hands out loopback ports to processes. They lie below those that the system gives to outgoing connections: one of
// those could hold a port at the moment in which a process wants to listen on it.
type ports struct {
	mu   sync.Mutex
	used map[int]bool
}

const firstPort, lastPort = 12000, 31999

func (p *ports) take() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 1000 {
		n := firstPort + rand.IntN(lastPort-firstPort+1)
		if p.used[n] || !free(n) {
			continue
		}
		p.reserve(n)
		return n, nil
	}
	return 0, errors.New("no free loopback port between " + strconv.Itoa(firstPort) + " and " + strconv.Itoa(lastPort))
}

func (p *ports) reserve(n int) {
	if p.used == nil {
		p.used = map[int]bool{}
	}
	p.used[n] = true
}

func (p *ports) keep(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserve(n)
}

func (p *ports) give(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, n)
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
