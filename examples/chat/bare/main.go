// Command bare is the chat without kit: when it ends, everybody is cut in the middle of a word.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net/http"
	"os"

	"gapless.dev/gapless/examples/chat/room"
)

func main() {
	var lobby room.Room
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "say something at /chat") })
	mux.HandleFunc("/chat", func(w http.ResponseWriter, r *http.Request) { lobby.Serve(w, r, nil) })
	ok := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	mux.HandleFunc("/readyz", ok)
	mux.HandleFunc("/livez", ok)
	log.Fatal(http.ListenAndServe(":"+cmp.Or(os.Getenv("PORT"), "8080"), mux))
}
