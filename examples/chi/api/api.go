// Package api is what the service does, the same with kit and without.
package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
)

// A Greeter is another Service, found by its name: http://nethttp in the same namespace, http://nethttp.demo.svc from another.
type Greeter struct{ URL string }

// Ping asks whether it answers.
func (g Greeter) Ping(ctx context.Context) error {
	_, err := g.greet(ctx)
	return err
}

func (g Greeter) greet(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	return string(text), err
}

// Routes adds the service's routes.
func Routes(r chi.Router, g Greeter) {
	var requests atomic.Int64
	r.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			next.ServeHTTP(w, r)
		})
	})
	r.Get("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "users") })
	r.Post("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "created") })
	r.Get("/users/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "user %s\n", chi.URLParam(r, "id")) })
	r.Get("/slow", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.FormValue("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		fmt.Fprintln(w, "users, at last")
	})
	r.Get("/greeting", func(w http.ResponseWriter, r *http.Request) {
		text, err := g.greet(r.Context())
		if err != nil {
			text = "hello from here, since nobody else answers\n"
		}
		fmt.Fprint(w, text)
	})
	r.Get("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE http_requests_total counter\nhttp_requests_total %d\n", requests.Load())
	})
}
