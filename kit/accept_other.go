//go:build !linux

package kit

import (
	"errors"
	"net"
	"syscall"
)

// acceptRest is for Linux only; elsewhere the accept queue is lost with the
// listener, as it is with any close.
func acceptRest(net.Listener) ([]net.Conn, error) { return nil, errors.ErrUnsupported }

func refuseHandshakes(syscall.Conn) error { return errors.ErrUnsupported }
