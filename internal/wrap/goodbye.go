package wrap

import (
	"context"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"gapless.dev/kit"
)

// lastWord is how long before the cut every stream has heard that it ends.
const lastWord = 1200 * time.Millisecond

// goodbye has a stream end by the rules of its protocol before the deadline: a client that is told goes elsewhere, one that is cut must
// find out first. Event streams and WebSockets end one after the other once the drain has begun, so that their clients do not all come
// back at once. A gRPC stream, which may well end by itself, ends as late as possible. end gives up the way to the command.
func goodbye(ctx context.Context, res *http.Response, end context.CancelFunc) {
	var s interface{ leave() }
	soon := true
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols:
		child, ok := res.Body.(io.ReadWriteCloser)
		if !ok || !strings.EqualFold(res.Header.Get("Upgrade"), "websocket") {
			return
		}
		ws := newSocket(child)
		res.Body, s = ws, ws
	case isType(res, "text/event-stream"):
		events := &stream{ReadCloser: res.Body, end: end, whole: true}
		res.Body, s = events, events
	case isType(res, "application/grpc"):
		calls := &calls{ReadCloser: res.Body, end: end, res: res}
		res.Body, s, soon = calls, calls, false
	default:
		return
	}
	go await(ctx, soon, s.leave)
}

func isType(res *http.Response, want string) bool {
	got := res.Header.Get("Content-Type")
	if !strings.HasPrefix(got, want) {
		return false
	}
	base, _, _ := mime.ParseMediaType(got)
	return base == want || strings.HasPrefix(base, want+"+")
}

// await calls leave when it is time to, unless the request is over before that.
func await(ctx context.Context, soon bool, leave func()) {
	select {
	case <-ctx.Done():
		return
	case <-kit.Draining(ctx):
	}
	cut, _ := kit.Deadline(ctx)
	at := time.Until(cut) - lastWord
	if soon && at > 0 {
		at = rand.N(at)
	}
	timer := time.NewTimer(at)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		leave()
	}
}

// A stream is a stream of server-sent events. It ends between two of them.
type stream struct {
	io.ReadCloser
	end context.CancelFunc

	mu      sync.Mutex
	leaving bool
	whole   bool   // what was passed on ends with the end of an event
	tail    string // the last bytes that were passed on
}

func (s *stream) leave() {
	s.mu.Lock()
	s.leaving = true
	whole := s.whole
	s.mu.Unlock()
	if whole {
		s.end() // wakes whoever waits for the next event
	}
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	over := s.leaving && s.whole
	s.mu.Unlock()
	if over {
		return 0, io.EOF
	}
	n, err := s.ReadCloser.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		if end := endOfEvent(s.tail, p[:n]); end >= 0 {
			n, s.whole = end, true
			return n, io.EOF
		}
		if err != nil {
			err = io.EOF
		}
	}
	s.note(p[:n])
	return n, err
}

// note keeps what is needed to know an event's end: an empty line.
func (s *stream) note(p []byte) {
	if len(p) == 0 {
		return
	}
	s.tail += string(p[max(0, len(p)-3):])
	s.tail = s.tail[max(0, len(s.tail)-3):]
	s.whole = endsEvent(s.tail)
}

func endsEvent(text string) bool {
	return strings.HasSuffix(text, "\n\n") || strings.HasSuffix(text, "\r\r") || strings.HasSuffix(text, "\n\r\n")
}

// endOfEvent is how much of p belongs to the event that has begun before it, or in it; -1 if no event ends in p.
func endOfEvent(before string, p []byte) int {
	for i := range p {
		before += string(p[i : i+1])
		before = before[max(0, len(before)-3):]
		if endsEvent(before) {
			return i + 1
		}
	}
	return -1
}

// calls is a gRPC answer that has begun: a stream of messages. Its end is a status.
type calls struct {
	io.ReadCloser
	end context.CancelFunc
	res *http.Response

	mu      sync.Mutex
	leaving bool
}

func (c *calls) leave() {
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	c.end()
}

func (c *calls) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || err == io.EOF || !c.leaving {
		return n, err
	}
	if c.res.Trailer == nil {
		c.res.Trailer = http.Header{}
	}
	c.res.Trailer["Grpc-Status"] = []string{"14"} // UNAVAILABLE: clients try again elsewhere
	c.res.Trailer["Grpc-Message"] = []string{"the service stops"}
	return n, io.EOF
}
