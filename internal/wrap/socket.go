package wrap

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"
)

// goingAway is the close frame 1001, without a mask, as servers send.
var goingAway = []byte{0x88, 0x02, 0x03, 0xe9}

// patience is how long a client may take to answer a close frame.
const patience = time.Second

// errGoodbye ends the relay of a WebSocket that has been said goodbye to.
var errGoodbye = errors.New("the WebSocket was told to go")

// A socket is the command's side of a WebSocket. What both say passes through unchanged, until it is time to leave: then the client gets
// a close frame between two frames of the command, and the command gets what the client answers, as if it had been the one to leave.
type socket struct {
	child io.ReadWriteCloser

	said    chan said     // by the command
	free    chan []byte   // buffers for more
	closed  chan struct{} // once the relay has ended
	close   sync.Once
	leaving chan struct{}
	left    chan struct{} // once the client has said close as well
	leftOne sync.Once

	// The rest belongs to one side of the relay each.
	rest    said   // Read: what was said and not passed on yet
	frames  frames // Read: of the command
	told    bool   // Read: the close frame was passed on
	clients frames // Write: of the client
}

type said struct {
	text []byte // what is left of it
	buf  []byte
	err  error
}

func newSocket(child io.ReadWriteCloser) *socket {
	s := &socket{
		child: child, said: make(chan said), free: make(chan []byte, 2),
		closed: make(chan struct{}), leaving: make(chan struct{}), left: make(chan struct{}),
	}
	s.free <- make([]byte, 32<<10)
	s.free <- make([]byte, 32<<10)
	go s.listen()
	return s
}

// listen reads what the command says. It is a goroutine of its own, since a read cannot be called off to say goodbye.
func (s *socket) listen() {
	for {
		var buf []byte
		select {
		case buf = <-s.free:
		case <-s.closed:
			return
		}
		n, err := s.child.Read(buf)
		select {
		case s.said <- said{buf[:n], buf, err}:
		case <-s.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *socket) leave() { close(s.leaving) }

// Read is what the client gets.
func (s *socket) Read(p []byte) (int, error) {
	for {
		if s.told {
			return 0, s.waitForClient()
		}
		leaving := s.leaving
		if !s.frames.between() || s.frames.closing {
			leaving = nil
		} else if isClosed(leaving) {
			s.told = true
			return copy(p, goingAway), nil
		}
		if len(s.rest.text) > 0 {
			// No further than the end of a frame if a goodbye waits for it.
			n := s.frames.advance(s.rest.text[:min(len(p), len(s.rest.text))], isClosed(s.leaving))
			copy(p, s.rest.text[:n])
			s.rest.text = s.rest.text[n:]
			return n, nil
		}
		if s.rest.err != nil {
			return 0, s.rest.err
		}
		if s.rest.buf != nil {
			s.free <- s.rest.buf
			s.rest.buf = nil
		}
		select {
		case s.rest = <-s.said:
		case <-leaving:
		}
	}
}

func (s *socket) waitForClient() error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.left:
	case <-s.closed:
	case <-timer.C:
	}
	return errGoodbye
}

// Write is what the client says.
func (s *socket) Write(p []byte) (int, error) {
	s.clients.advance(p, false)
	n, err := s.child.Write(p)
	if s.clients.closing && s.clients.between() {
		s.leftOne.Do(func() { close(s.left) })
	}
	return n, err
}

func (s *socket) Close() error {
	s.close.Do(func() { close(s.closed) })
	return s.child.Close()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// frames follows the frames of one direction (RFC 6455, section 5.2).
type frames struct {
	head    []byte // of the frame that has begun, as far as it has come
	payload uint64 // of it, still to come
	closing bool   // a close frame has begun
}

// between tells that no frame is half-way.
func (f *frames) between() bool { return len(f.head) == 0 && f.payload == 0 }

const opClose = 0x8

// advance follows p, to the end of the frame if oneFrame, and returns how far that is.
func (f *frames) advance(p []byte, oneFrame bool) int {
	n := 0
	for n < len(p) {
		if f.payload > 0 {
			step := min(f.payload, uint64(len(p)-n))
			f.payload -= step
			n += int(step)
		} else {
			f.head = append(f.head, p[n])
			n++
			if size, ok := payloadOf(f.head); ok {
				f.closing = f.closing || f.head[0]&0x0f == opClose
				f.head, f.payload = f.head[:0], size
			}
		}
		if oneFrame && f.between() {
			break
		}
	}
	return n
}

// payloadOf reads a frame's head; false while it is not whole.
func payloadOf(head []byte) (size uint64, whole bool) {
	if len(head) < 2 {
		return 0, false
	}
	need := 2
	switch short := head[1] & 0x7f; short {
	case 126:
		need += 2
	case 127:
		need += 8
	default:
		size = uint64(short)
	}
	extended := need
	if head[1]&0x80 != 0 {
		need += 4 // the mask
	}
	if len(head) < need {
		return 0, false
	}
	switch extended {
	case 4:
		size = uint64(binary.BigEndian.Uint16(head[2:]))
	case 10:
		size = binary.BigEndian.Uint64(head[2:])
	}
	return size, true
}
