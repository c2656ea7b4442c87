// Package room is a chat: what one says, all hear. The same with kit and without.
package room

import (
	"context"
	"net/http"
	"sync"

	"github.com/coder/websocket"
)

// A Room is where people talk. Its zero value is empty.
type Room struct {
	mu     sync.Mutex
	people map[chan []byte]struct{}
}

// Serve lets one person in until they leave, or until closing says that the room closes. The goodbye is a close frame: a client that
// gets 1001 comes back at once, to another instance.
func (o *Room) Serve(w http.ResponseWriter, r *http.Request, closing <-chan struct{}) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()

	said := make(chan []byte, 64)
	o.enter(said)
	defer o.leave(said)
	go func() {
		defer cancel()
		for {
			_, text, err := c.Read(ctx)
			if err != nil {
				return
			}
			o.say(text)
		}
	}()
	for {
		select {
		case text := <-said:
			if c.Write(ctx, websocket.MessageText, text) != nil {
				return
			}
		case <-closing:
			_ = c.Close(websocket.StatusGoingAway, "the service stops")
			return
		case <-ctx.Done():
			return
		}
	}
}

func (o *Room) enter(said chan []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.people == nil {
		o.people = make(map[chan []byte]struct{})
	}
	o.people[said] = struct{}{}
}

func (o *Room) leave(said chan []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.people, said)
}

// say tells everybody; who does not listen misses it.
func (o *Room) say(text []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for said := range o.people {
		select {
		case said <- text:
		default:
		}
	}
}
