package kit_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"gapless.dev/kit"
)

// These compile with the tests; README.md shows them.

var mux = http.NewServeMux()

func ExampleListenAndServe() {
	log.Fatal(kit.ListenAndServe(":8080", mux)) // was http.ListenAndServe
}

func ExampleReadyz() {
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", kit.Readyz)
	mux.HandleFunc("/healthz", kit.Livez)
	log.Fatal(kit.ListenAndServe(":8080", mux))
}

func Example() {
	svc := kit.New()
	db := openDB()
	svc.OnStop("db", db.Close) // closed last: everything registered later depends on it
	svc.ReadyWhen("model", loadModel)
	svc.Dependency("db", db.PingContext, kit.Every(5*time.Second), kit.FailAfter(3))
	svc.HTTP("api", &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: 5 * time.Second})
	svc.Go("consumer", consume)
	svc.Health(":8081")
	os.Exit(svc.Run(context.Background()))
}

func ExampleWithBudget() {
	budget := kit.DefaultBudget()
	budget.Grace, budget.Drain = 40*time.Second, 15*time.Second // behind an ingress controller
	svc := kit.New(kit.WithBudget(budget))
	svc.HTTP("api", &http.Server{Addr: ":8080", Handler: mux})
	os.Exit(svc.Run(context.Background()))
}

func ExampleBudget_Split() {
	split, _ := kit.DefaultBudget().Split()
	fmt.Println(split.Drain, split.InFlight, split.Close)

	_, err := kit.Budget{Grace: 6 * time.Second, Drain: 5 * time.Second, Close: time.Second}.Split()
	fmt.Println(err)
	// Output:
	// 5s 20s 3s
	// time budget: grace 6s - prestop 0s - drain 5s - close 1s - margin 0s leaves 0s for requests in flight; raise grace to at least 7s or lower the drain
}

func ExampleDraining() {
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		for {
			select {
			case event := <-events:
				fmt.Fprintf(w, "data: %s\n\n", event)
				http.NewResponseController(w).Flush()
			case <-kit.Draining(r.Context()):
				return // a clean end: the client reconnects, elsewhere
			case <-r.Context().Done():
				return
			}
		}
	})
}

func ExampleTrack() {
	mux.HandleFunc("/mail", func(w http.ResponseWriter, r *http.Request) {
		ctx, done := kit.Track(r.Context())
		go func() {
			defer done()
			send(ctx)
		}()
		w.WriteHeader(http.StatusAccepted)
	})
}

func ExampleDeadline() {
	mux.HandleFunc("/report", func(w http.ResponseWriter, r *http.Request) {
		if end, stopping := kit.Deadline(r.Context()); stopping && time.Until(end) < 10*time.Second {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "not enough time left here", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "done")
	})
}

func ExampleService_Listener() {
	ln, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	svc := kit.New()
	framework := &http.Server{Handler: svc.Handler(mux)} // or gin, echo, chi, with a Serve of their own
	go framework.Serve(svc.Listener(ln))
	svc.OnStop("framework", framework.Close)
	os.Exit(svc.Run(context.Background()))
}

func ExampleService_HTTP_unencryptedHTTP2() {
	srv := &http.Server{Addr: ":8080", Handler: mux, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	svc := kit.New()
	svc.HTTP("api", srv)
	os.Exit(svc.Run(context.Background()))
}

var events chan string

func openDB() *sql.DB                     { return nil }
func loadModel(ctx context.Context) error { return ctx.Err() }
func consume(ctx context.Context) error   { return ctx.Err() }
func send(context.Context)                {}
