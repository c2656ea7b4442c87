// Command nethttp is a service on net/http that can be replaced without loss. It differs from bare/main.go in the lines that name kit.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"gapless.dev/kit"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.FormValue("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		fmt.Fprintln(w, "hello, at last")
	})
	mux.HandleFunc("/ready", kit.Readyz)
	mux.HandleFunc("/healthz", kit.Livez)
	log.Fatal(kit.ListenAndServe(":"+cmp.Or(os.Getenv("PORT"), "8080"), mux))
}
