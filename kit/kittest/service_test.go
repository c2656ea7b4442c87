package kittest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"gapless.dev/kit"
)

// The test binary is also the services that are judged: with this set it runs
// the one of that name.
const serveEnv = "KITTEST_SERVE"

func TestMain(m *testing.M) {
	if name := os.Getenv(serveEnv); name != "" {
		os.Exit(services[name](os.Getenv("PORT")))
	}
	os.Exit(m.Run())
}

// services are one good service, and copies of it that each do one thing wrong.
var services = map[string]func(port string) int{
	"good": func(port string) int { return good(port).Run(context.Background()) },

	"swap": func(port string) int {
		mux := routes()
		mux.HandleFunc("/ready", kit.Readyz)
		mux.HandleFunc("/healthz", kit.Livez)
		fmt.Println(kit.ListenAndServe("127.0.0.1:"+port, mux))
		return 1
	},

	// Z1: dies of SIGTERM, as every service does that does nothing about it.
	"naive": func(port string) int {
		go http.ListenAndServe(os.Getenv("GAPLESS_HEALTH"), health(func() bool { return true }))
		fmt.Println(named(server(port)).ListenAndServe())
		return 1
	},

	// Z2: liveness is readiness.
	"live-is-ready": func(port string) int {
		return withHealth(port, func(svc *kit.Service, mux *http.ServeMux) {
			mux.HandleFunc("/readyz", ready(svc))
			mux.HandleFunc("/livez", ready(svc))
		})
	},

	// Z3: ready at once, listening much later.
	"ready-too-early": func(port string) int {
		go http.ListenAndServe(os.Getenv("GAPLESS_HEALTH"), health(func() bool { return true }))
		os.Unsetenv("GAPLESS_HEALTH")
		svc := good(port)
		svc.ReadyWhen("cold", func(context.Context) error { time.Sleep(time.Second); return nil })
		return svc.Run(context.Background())
	},

	// Z4: readiness says yes for ever.
	"always-ready": func(port string) int {
		return withHealth(port, func(_ *kit.Service, mux *http.ServeMux) {
			mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
			mux.HandleFunc("/livez", func(http.ResponseWriter, *http.Request) {})
		})
	},

	// Z5 and most that follows: does what the documentation of Shutdown shows.
	"no-drain": func(port string) int {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		go http.ListenAndServe(os.Getenv("GAPLESS_HEALTH"), health(func() bool { return ctx.Err() == nil }))
		srv := named(server(port))
		go srv.ListenAndServe()
		<-ctx.Done()
		if srv.Shutdown(context.Background()) != nil {
			return 1
		}
		return 0
	},

	// Z7: closes idle connections as soon as it is asked to stop.
	"closes-idle": func(port string) int {
		srv := server(port)
		svc := kit.New()
		svc.OnPhase(func(p kit.Phase) {
			if p == kit.PhaseDraining {
				srv.SetKeepAlivesEnabled(false)
			}
		})
		svc.HTTP("api", srv)
		return svc.Run(context.Background())
	},

	// Z8: never tells its clients to leave.
	"no-goodbye": func(port string) int {
		srv := server(port)
		next := srv.Handler
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Del("Connection")
			next.ServeHTTP(w, r)
		})
		svc := kit.New()
		svc.HTTP("api", srv)
		return svc.Run(context.Background())
	},

	// Z9: drops what is slow when it is asked to stop.
	"drops-slow": func(port string) int {
		srv := server(port)
		next := srv.Handler
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				select {
				case <-kit.Draining(r.Context()):
					panic(http.ErrAbortHandler)
				case <-time.After(duration(r)):
				}
				return
			}
			next.ServeHTTP(w, r)
		})
		svc := kit.New()
		svc.HTTP("api", srv)
		return svc.Run(context.Background())
	},

	// Z11: leaves its streams to be cut.
	"no-last-word": func(port string) int {
		srv := server(port)
		next := srv.Handler
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/socket" {
				c, err := upgrade(w)
				if err == nil {
					<-kit.Draining(r.Context())
					c.Close()
				}
				return
			}
			next.ServeHTTP(w, r)
		})
		svc := kit.New()
		svc.HTTP("api", srv)
		return svc.Run(context.Background())
	},

	// Z13: everything is right but the exit code.
	"exit-code": func(port string) int { good(port).Run(context.Background()); return 7 },

	// Z14: waits for a fixed time after the drain.
	"lingers": func(port string) int {
		svc := good(port)
		svc.OnPhase(func(p kit.Phase) {
			if p == kit.PhaseDone && os.Getenv("SLOW_START") == "" {
				time.Sleep(5 * time.Second)
			}
		})
		return svc.Run(context.Background())
	},

	// Z15: takes the second SIGTERM for "now".
	"second-term": func(port string) int {
		signals := make(chan os.Signal, 4)
		signal.Notify(signals, syscall.SIGTERM)
		go func() {
			<-signals
			<-signals
			os.Exit(0)
		}()
		return good(port).Run(context.Background())
	},

	// Z16: is deaf while it starts.
	"deaf-start": func(port string) int {
		if os.Getenv("SLOW_START") != "" {
			signal.Ignore(syscall.SIGTERM)
			time.Sleep(5 * time.Second)
		}
		return good(port).Run(context.Background())
	},

	// Z20: leaves a child behind.
	"orphan": func(port string) int {
		code := good(port).Run(context.Background())
		_ = exec.Command("sleep", "20").Start()
		return code
	},

	// Z21: nobody knows which version answered.
	"nameless": func(port string) int {
		os.Unsetenv("GAPLESS_VERSION")
		return good(port).Run(context.Background())
	},

	// Z22: ends without a word.
	"silent": func(port string) int {
		os.Setenv("GAPLESS_REPORT", os.DevNull)
		return good(port).Run(context.Background())
	},
}

// good is a service with everything, right.
func good(port string) *kit.Service {
	svc := kit.New()
	if text := os.Getenv("SLOW_START"); text != "" {
		svc.ReadyWhen("slow start", func(ctx context.Context) error {
			slow, _ := time.ParseDuration(text)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(slow):
				return nil
			}
		})
	}
	svc.HTTP("api", server(port))
	return svc
}

// withHealth is good, with a health listener of its own making.
func withHealth(port string, fill func(*kit.Service, *http.ServeMux)) int {
	addr := os.Getenv("GAPLESS_HEALTH")
	os.Unsetenv("GAPLESS_HEALTH")
	svc := good(port)
	mux := http.NewServeMux()
	fill(svc, mux)
	go http.ListenAndServe(addr, mux)
	return svc.Run(context.Background())
}

func ready(svc *kit.Service) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if svc.Phase() != kit.PhaseReady {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	}
}

func health(ready func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
}

func server(port string) *http.Server {
	srv := &http.Server{Addr: "127.0.0.1:" + port, Handler: routes(), Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	return srv
}

// named sets the version as a service without kit would.
func named(srv *http.Server) *http.Server {
	next := srv.Handler
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Gapless-Version", os.Getenv("GAPLESS_VERSION"))
		next.ServeHTTP(w, r)
	})
	return srv
}

func routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(duration(r)):
			io.WriteString(w, "done\n")
		}
	})
	mux.HandleFunc("/events", events)
	mux.HandleFunc("/socket", socket)
	return mux
}

func duration(r *http.Request) time.Duration {
	d, _ := time.ParseDuration(r.FormValue("for"))
	return d
}

// events streams until the service drains, and then ends in order.
func events(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		fmt.Fprintf(w, "data: %v\n\n", time.Now())
		http.NewResponseController(w).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-kit.Draining(r.Context()):
			fmt.Fprint(w, "event: goodbye\ndata:\n\n")
			return
		}
	}
}

// socket is a WebSocket that says goodbye with 1001.
func socket(w http.ResponseWriter, r *http.Request) {
	c, err := upgrade(w)
	if err != nil {
		return
	}
	defer c.Close()
	<-kit.Draining(r.Context())
	_, _ = c.Write([]byte{0x88, 2, 1001 >> 8, 1001 & 0xff})
}

func upgrade(w http.ResponseWriter) (net.Conn, error) {
	c, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	fmt.Fprint(buf, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	return c, errors.Join(buf.Flush())
}
