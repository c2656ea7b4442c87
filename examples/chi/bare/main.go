// Command bare is the service without kit: SIGTERM ends it in the middle of whatever it does, and it says ready to the last.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"gapless.dev/gapless/examples/chi/api"
)

func main() {
	r := chi.NewRouter()
	r.Use(middleware.Recoverer)
	api.Routes(r, api.Greeter{URL: cmp.Or(os.Getenv("GREETER"), "http://nethttp")})
	ok := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	r.Get("/ready", ok)
	r.Get("/healthz", ok)
	log.Fatal(http.ListenAndServe(":"+cmp.Or(os.Getenv("PORT"), "8080"), r))
}
