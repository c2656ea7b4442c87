package proxy

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A patience is the body of a request, and bounds how long a client may keep us waiting for more of it. Once the answer has begun either
// side may be silent for as long as they like: that is a stream.
type patience struct {
	io.ReadCloser
	limit time.Duration
	until func(time.Time) error // sets the deadline of reads

	spent atomic.Bool // nothing came in time
	whole atomic.Bool // all has come
	mu    sync.Mutex
	off   bool // for good
}

func (p *patience) Read(b []byte) (int, error) {
	p.set(time.Now().Add(p.limit))
	n, err := p.ReadCloser.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.spent.Store(true) // the deadline stays: net/http is not to wait for the rest either
		return n, err
	}
	p.set(time.Time{}) // what nobody waits for is not late
	if err == io.EOF {
		p.whole.Store(true)
	}
	return n, err
}

func (p *patience) set(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.off {
		_ = p.until(t)
	}
}

// lift ends the bound: the answer begins.
func (p *patience) lift() {
	if p != nil {
		p.turnOff(time.Time{})
	}
}

// leave sets the last bound: net/http throws away what was not read.
func (p *patience) leave() {
	if p != nil {
		p.turnOff(time.Now().Add(p.limit))
	}
}

func (p *patience) turnOff(last time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off = true; !p.whole.Load() && !p.spent.Load() {
		_ = p.until(last)
	}
}

// isSpent tells whether the client was too slow.
func (p *patience) isSpent() bool { return p != nil && p.spent.Load() }
