package proxy

import (
	"context"
	"sync"
	"sync/atomic"

	"gapless.dev/gapless/internal/rollout"
)

// An Instance is one process of a version, as the proxy sees it. App.Add makes one.
type Instance struct {
	app     *App
	version rollout.Version
	id      string
	token   string           // what its clients carry in the sticky cookie
	lines   map[string]*Line // by name of the port
	counts  *counts

	// busy counts the requests on the instance, upgraded connections too. outBit is set while it is out of rotation.
	// Both live in one word so that a request cannot slip in between "taken out" and "idle".
	busy atomic.Int64

	mu   sync.Mutex
	idle chan struct{} // non-nil while out; closed once nothing is on the instance

	shadows  context.Context // ends the mirrored requests
	noShadow context.CancelFunc
}

const outBit = 1 << 62

func newInstance(a *App, version rollout.Version, id string, addrs map[string]string, c *counts) *Instance {
	i := &Instance{app: a, version: version, id: id, token: token(id), counts: c, lines: make(map[string]*Line, len(addrs))}
	i.shadows, i.noShadow = context.WithCancel(context.Background())
	for port, addr := range addrs {
		i.lines[port] = NewLine(addr, a.timeout)
	}
	return i
}

// enter puts a request on the instance, unless it is out of rotation.
func (i *Instance) enter() bool {
	if i.busy.Add(1)&outBit == 0 {
		return true
	}
	i.leave()
	return false
}

func (i *Instance) leave() {
	if i.busy.Add(-1) == outBit {
		i.sayIdle()
	}
}

func (i *Instance) sayIdle() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.idle == nil || i.busy.Load() != outBit {
		return
	}
	select {
	case <-i.idle:
	default:
		close(i.idle)
	}
}

// InFlight counts the requests and upgraded connections on the instance.
func (i *Instance) InFlight() int { return int(i.busy.Load() &^ outBit) }

// TakeOut makes the instance get nothing new from now on. The channel is closed once its last request has been answered and its
// last upgraded connection has ended. It can be called again; mirrored requests are cut.
func (i *Instance) TakeOut() <-chan struct{} {
	i.mu.Lock()
	if i.idle == nil {
		i.idle = make(chan struct{})
		i.busy.Or(outBit)
		i.noShadow()
	}
	idle := i.idle
	i.mu.Unlock()
	i.sayIdle()
	i.app.rebuild()
	return idle
}

// PutIn takes the instance into rotation again.
func (i *Instance) PutIn() {
	i.mu.Lock()
	if i.idle != nil {
		i.idle = nil
		i.shadows, i.noShadow = context.WithCancel(context.Background())
		i.busy.And(^outBit)
	}
	i.mu.Unlock()
	i.app.rebuild()
}

// Out tells whether the instance is out of rotation.
func (i *Instance) Out() bool { return i.busy.Load()&outBit != 0 }

// Forget ends the proxy's knowledge of the instance; it has been taken out before, or its process is dead.
func (i *Instance) Forget() {
	i.TakeOut()
	i.app.forget(i)
	for _, l := range i.lines {
		l.Close()
	}
}

func (i *Instance) shadowContext() context.Context {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.shadows
}
