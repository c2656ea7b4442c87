//go:build !unix

package kit

import "net"

// pending is not known here.
func pending(net.Conn) bool { return false }
