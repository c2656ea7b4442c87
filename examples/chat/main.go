// Command chat is a WebSocket chat that can be replaced without loss: when it is asked to stop, everybody is told to come back, one
// after the other, while others still talk.
package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"gapless.dev/gapless/examples/chat/room"
	"gapless.dev/kit"
)

func main() {
	var lobby room.Room
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "say something at /chat") })
	mux.HandleFunc("/chat", func(w http.ResponseWriter, r *http.Request) {
		lobby.Serve(w, r, goodbye(r.Context()))
	})
	svc := kit.New()
	svc.Health(":8081")
	svc.HTTP("chat", &http.Server{Addr: ":" + cmp.Or(os.Getenv("PORT"), "8080"), Handler: mux, ReadHeaderTimeout: 5 * time.Second})
	os.Exit(svc.Run(context.Background()))
}

// goodbye closes at some moment after the drain has begun, so that not everybody comes back at once.
func goodbye(ctx context.Context) <-chan struct{} {
	moment := make(chan struct{})
	go func() {
		defer close(moment)
		select {
		case <-kit.Draining(ctx):
		case <-ctx.Done():
			return
		}
		cut, _ := kit.Deadline(ctx)
		select {
		case <-time.After(rand.N(max(time.Millisecond, time.Until(cut)/2))):
		case <-ctx.Done():
		}
	}()
	return moment
}
