package local

import (
	"io"
	"net"
	"strconv"
)

// claim keeps a port from every other Gapless of this machine, from when it is chosen until its process listens: two that chose the same
// would both find it free, and the readiness of the one process would be taken for the other's. The name vanishes with us.
func claim(n int) (held io.Closer, ok bool) {
	l, err := net.Listen("unix", "@gapless-port-"+strconv.Itoa(n))
	if err != nil {
		return nil, false
	}
	return l, true
}
