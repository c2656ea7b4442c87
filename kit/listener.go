package kit

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// listener counts what it accepts and can stop without losing anybody who has
// already connected.
type listener struct {
	net.Listener
	s        *Service
	foreign  bool // its connections' states are not told to us
	stopping atomic.Bool
	closed   chan struct{} // the socket listens no more
	once     sync.Once

	mu      sync.Mutex
	conns   map[*track]struct{}
	rescued []net.Conn // taken from the accept queue at the end, not yet handed out
	saved   int        // how many they were
}

func (s *Service) listen(ln net.Listener) *listener {
	return &listener{Listener: ln, s: s, closed: make(chan struct{}), conns: make(map[*track]struct{})}
}

// Accept ends with net.ErrClosed when the listener has stopped and all of its
// queue has been handed out.
func (l *listener) Accept() (net.Conn, error) {
	if c := l.nextRescued(); c != nil {
		return l.keep(c), nil
	}
	c, err := l.Listener.Accept()
	if err == nil {
		return l.keep(c), nil
	}
	if !l.stopping.Load() {
		return nil, err
	}
	// Accept and close in one goroutine with nothing between: whoever
	// connects in between would be reset.
	l.drainQueue()
	if c := l.nextRescued(); c != nil {
		return l.keep(c), nil
	}
	return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
}

// Close is for the server's own shutdown; after a stop there is nothing left
// to do.
func (l *listener) Close() error {
	var err error
	l.once.Do(func() {
		l.stopping.Store(true)
		err = l.Listener.Close()
		close(l.closed)
	})
	return err
}

// handshake is how long a connection being made when the door is shut is
// waited for: longer than a round trip in a cluster.
const handshake = 50 * time.Millisecond

// stopAccepting shuts the door in three moves: nobody new may knock, whoever
// is on the doorstep comes in, the door is closed. Where the first two are not
// to be had it is a plain Close. Returns when the socket listens no more.
func (l *listener) stopAccepting() {
	sock, ok := l.Listener.(interface {
		SetDeadline(time.Time) error
		syscall.Conn
	})
	if !ok || l.stopping.Load() {
		l.Close()
		return
	}
	if refuseHandshakes(sock) == nil {
		time.Sleep(handshake) // meanwhile Accept goes on as ever
	}
	l.stopping.Store(true)
	if err := sock.SetDeadline(time.Unix(1, 0)); err != nil { // wakes Accept
		l.Close()
		return
	}
	select {
	case <-l.closed:
	case <-time.After(time.Second): // nobody is in Accept
		l.Close()
	}
}

// drainQueue takes all that is in the accept queue and closes the socket.
func (l *listener) drainQueue() {
	l.once.Do(func() {
		conns, err := acceptRest(l.Listener)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			l.s.log.Warn("accept queue", "address", l.Addr().String(), "error", err)
		}
		l.mu.Lock()
		l.rescued, l.saved = conns, len(conns)
		l.mu.Unlock()
		l.Listener.Close()
		close(l.closed)
	})
	<-l.closed
}

func (l *listener) nextRescued() net.Conn {
	if !l.stopping.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rescued) == 0 {
		return nil
	}
	c := l.rescued[0]
	l.rescued = l.rescued[1:]
	return c
}

// keep wraps a connection and writes it into the book. A connection that is
// TLS already stays as it is: net/http knows it by its type.
func (l *listener) keep(c net.Conn) net.Conn {
	if _, ok := c.(*tls.Conn); ok {
		return c
	}
	t := &track{accepted: time.Now(), raw: c}
	t.forget = func() {
		l.mu.Lock()
		delete(l.conns, t)
		l.mu.Unlock()
	}
	l.mu.Lock()
	l.conns[t] = struct{}{}
	l.mu.Unlock()
	if l.foreign {
		l.s.traffic.newConn(t)
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		return &tcpConn{tcp, t}
	}
	return &plainConn{c, t}
}

// tally counts the connections by what they are doing.
type tally struct {
	open     int // all there are
	young    int // connected a moment ago, first request still to come
	active   int // in a request, or with an HTTP/2 stream
	hijacked int // handed to the app, which closes them itself
}

// patience is how long a connection that has sent nothing is waited for. One
// that was opened in advance and never used must not hold up the end.
const patience = 2 * time.Second

func (l *listener) tally() (sum tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum.young = len(l.rescued)
	for t := range l.conns {
		sum.open++
		switch http.ConnState(t.state.Load()) {
		case http.StateNew:
			if l.foreign && t.reads.Load() > 0 {
				continue // its server knows more than we do
			}
			if time.Since(t.accepted) < patience {
				sum.young++
			}
		case http.StateActive:
			sum.active++
		case http.StateHijacked:
			sum.hijacked++
		}
	}
	return sum
}

// tracks is the book as it stands.
func (l *listener) tracks() []*track {
	l.mu.Lock()
	defer l.mu.Unlock()
	book := make([]*track, 0, len(l.conns))
	for t := range l.conns {
		book = append(book, t)
	}
	return book
}

// connOf makes a connection of a file descriptor, and closes its copy.
func connOf(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "accepted")
	defer f.Close()
	return net.FileConn(f)
}
