// Command chi is a service on the router chi that can be replaced without loss. It asks another Service by its name, counts for
// Prometheus, and is degraded, not down, while that Service is away.
package main

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"gapless.dev/gapless/examples/chi/api"
	"gapless.dev/kit"
)

func main() {
	greeter := api.Greeter{URL: cmp.Or(os.Getenv("GREETER"), "http://nethttp")}
	r := chi.NewRouter()
	r.Use(middleware.Recoverer)
	api.Routes(r, greeter)
	r.Get("/ready", kit.Readyz)
	r.Get("/healthz", kit.Livez)

	svc := kit.New()
	svc.Dependency("greeter", greeter.Ping, kit.Every(5*time.Second))
	svc.HTTP("api", &http.Server{Addr: ":" + cmp.Or(os.Getenv("PORT"), "8080"), Handler: r, ReadHeaderTimeout: 5 * time.Second})
	os.Exit(svc.Run(context.Background()))
}
