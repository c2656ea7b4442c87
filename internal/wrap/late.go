package wrap

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// A lateListener listens from its first Accept on. Until then connections are refused, and not left waiting for a command that starts.
type lateListener struct {
	addr string

	mu     sync.Mutex
	ln     *net.TCPListener
	closed bool
}

var errNotYet = errors.New("does not listen yet")

func (l *lateListener) now() *net.TCPListener {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ln
}

func (l *lateListener) listen() (*net.TCPListener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	if l.ln == nil {
		ln, err := net.Listen("tcp", l.addr)
		if err != nil {
			return nil, err
		}
		l.ln = ln.(*net.TCPListener)
	}
	return l.ln, nil
}

func (l *lateListener) Accept() (net.Conn, error) {
	ln, err := l.listen()
	if err != nil {
		return nil, err
	}
	return ln.Accept()
}

func (l *lateListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.ln == nil {
		return nil
	}
	return l.ln.Close()
}

func (l *lateListener) Addr() net.Addr {
	if ln := l.now(); ln != nil {
		return ln.Addr()
	}
	addr, _ := net.ResolveTCPAddr("tcp", l.addr)
	return addr
}

func (l *lateListener) SetDeadline(t time.Time) error {
	if ln := l.now(); ln != nil {
		return ln.SetDeadline(t)
	}
	return errNotYet
}

// SyscallConn lets kit empty the accept queue.
func (l *lateListener) SyscallConn() (syscall.RawConn, error) {
	if ln := l.now(); ln != nil {
		return ln.SyscallConn()
	}
	return nil, errNotYet
}
