package kittest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are given out below the range from which systems take them for
// outgoing connections: the load makes many of those, and one of them would
// sooner or later sit on a port that was meant for the next instance.
const (
	firstPort = 20000
	lastPort  = 31999
)

// given are the ports that are spoken for in this process.
var given struct {
	sync.Mutex
	ports map[int]bool
}

// FreePort is free now, and given to nobody else of this process until the
// release. Nobody holds it until the program does.
func FreePort() (port int, release func(), err error) {
	given.Lock()
	defer given.Unlock()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if given.ports[port] {
			continue
		}
		ln, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		ln.Close()
		if given.ports == nil {
			given.ports = make(map[int]bool)
		}
		given.ports[port] = true
		return port, func() {
			given.Lock()
			defer given.Unlock()
			delete(given.ports, port)
		}, nil
	}
	return 0, nil, fmt.Errorf("no free port from %d to %d", firstPort, lastPort)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
