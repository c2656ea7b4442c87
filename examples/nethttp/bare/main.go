// Command bare is a service on net/http as it is usually written: SIGTERM ends it in the middle of whatever it does.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.FormValue("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		fmt.Fprintln(w, "hello, at last")
	})
	mux.HandleFunc("/ready", ok)
	mux.HandleFunc("/healthz", ok)
	log.Fatal(http.ListenAndServe(":"+cmp.Or(os.Getenv("PORT"), "8080"), mux))
}

func ok(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
