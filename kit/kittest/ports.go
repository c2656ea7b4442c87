package kittest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"sync"
	"syscall"
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

// FreePort is free now, and given to nobody else of this machine's test
// programs until the release. Nobody holds it until the program does.
func FreePort() (port int, release func(), err error) {
	given.Lock()
	defer given.Unlock()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if given.ports[port] {
			continue
		}
		claim, err := claim(port)
		if err != nil {
			continue
		}
		ln, err := net.Listen("tcp", loopback(port))
		if err != nil {
			claim.Close()
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
			claim.Close()
		}, nil
	}
	return 0, nil, fmt.Errorf("no free port from %d to %d", firstPort, lastPort)
}

// claim keeps a port from other test programs and from Gapless, which run
// beside this one.
// Names that begin with @ are Linux' own and leave no file behind; elsewhere
// there is luck.
func claim(port int) (io.Closer, error) {
	if runtime.GOOS != "linux" {
		return io.NopCloser(nil), nil
	}
	ln, err := net.Listen("unix", "@gapless-port-"+strconv.Itoa(port))
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		return io.NopCloser(nil), nil
	}
	return ln, err
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
