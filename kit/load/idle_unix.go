//go:build unix

package load

import (
	"net"
	"syscall"
)

// silent looks at a connection without reading from it or waiting. quiet: nothing has
// arrived, not even its end. known: the look succeeded.
func silent(conn net.Conn) (quiet, known bool) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false, false
	}
	// Control, unlike Read, runs whatever the deadline left from the last request.
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
	})
	return quiet, err == nil
}
