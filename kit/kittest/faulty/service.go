package faulty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"gapless.dev/kit"
)

// service is the good one, of which each fault changes one thing.
type service struct {
	*kit.Service
	srv    *http.Server
	ln     net.Listener // instead of the server's own address
	health string

	effects atomic.Int64 // POST that were carried out
	closed  atomic.Bool  // the database
	worksOn bool
	serving bool // what gRPC health says even while draining
	over    chan struct{}
}

func newService(addr string) *service {
	s := &service{health: os.Getenv("GAPLESS_HEALTH"), over: make(chan struct{})}
	s.srv = &http.Server{Addr: addr, Handler: s.routes(), Protocols: new(http.Protocols), ReadHeaderTimeout: 5 * time.Second}
	s.srv.Protocols.SetHTTP1(true)
	s.srv.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// build makes the service of kit; faults may change environment and fields before.
func (s *service) build() *kit.Service {
	s.Service = kit.New(kit.WithLogger(slog.New(slog.NewTextHandler(os.Stdout, nil))))
	s.OnStop("db", func() error { s.closed.Store(true); return nil })
	if text := os.Getenv("SLOW_START"); text != "" {
		slow, _ := time.ParseDuration(text)
		s.ReadyWhen("slow start", func(ctx context.Context) error { return wait(ctx, slow) })
	}
	s.OnPhase(func(p kit.Phase) {
		if p == kit.PhaseQuiescing {
			close(s.over)
		}
	})
	if s.ln != nil {
		s.Serve("api", s.ln, s.srv)
	} else {
		s.HTTP("api", s.srv)
	}
	s.Go("consumer", s.consume)
	return s.Service
}

func (s *service) run() int { return s.build().Run(context.Background()) }

// consume takes one item after the other, and says so.
func (s *service) consume(ctx context.Context) error {
	for id := 1; ctx.Err() == nil || s.worksOn && !closed(s.over); id++ {
		fmt.Printf("work=begin id=%d\n", id)
		time.Sleep(50 * time.Millisecond)
		fmt.Printf("work=end id=%d\n", id)
		if !s.worksOn {
			_ = wait(ctx, 50*time.Millisecond)
		}
	}
	return nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// wrap puts a handler around the service's own.
func (s *service) wrap(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	next := s.srv.Handler
	s.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, next) })
}

func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.hello)
	mux.HandleFunc("/count", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.effects.Load()) })
	mux.HandleFunc("/slow", s.slow)
	mux.HandleFunc("/slow-db", func(w http.ResponseWriter, r *http.Request) {
		if wait(r.Context(), duration(r)) == nil && s.closed.Load() {
			http.Error(w, "the database is closed", http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("/events", s.events)
	mux.HandleFunc("/socket", s.socket)
	mux.HandleFunc("/grpc.health.v1.Health/Check", s.check)
	mux.HandleFunc("/grpc.health.v1.Health/Watch", s.watch)
	return mux
}

func (s *service) hello(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.Method == http.MethodPost {
		s.effects.Add(1)
	}
	io.WriteString(w, "ok\n")
}

func (s *service) slow(w http.ResponseWriter, r *http.Request) {
	if wait(r.Context(), duration(r)) == nil {
		io.WriteString(w, "done\n")
	}
}

func duration(r *http.Request) time.Duration {
	d, _ := time.ParseDuration(r.FormValue("for"))
	return min(d, time.Hour)
}

// events streams until the service drains, and then ends in order.
func (s *service) events(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		fmt.Fprintf(w, "data: %v\n\n", time.Now())
		_ = http.NewResponseController(w).Flush()
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
func (s *service) socket(w http.ResponseWriter, r *http.Request) {
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

// check is grpc.health.v1.Health/Check, without a library.
func (s *service) check(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	begin(w)
	s.say(w, !s.serving && closed(kit.Draining(r.Context())))
	end(w, "0")
}

// watch is grpc.health.v1.Health/Watch.
func (s *service) watch(w http.ResponseWriter, r *http.Request) {
	begin(w)
	s.say(w, false)
	_ = http.NewResponseController(w).Flush()
	select {
	case <-kit.Draining(r.Context()):
	case <-r.Context().Done():
		return
	}
	if !s.serving {
		s.say(w, true)
		_ = http.NewResponseController(w).Flush()
	}
	select {
	case <-s.over:
		end(w, "14") // UNAVAILABLE
	case <-r.Context().Done():
	}
}

func begin(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
}

func (s *service) say(w io.Writer, stopping bool) {
	status := byte(1) // SERVING
	if stopping {
		status = 2
	}
	_, _ = w.Write([]byte{0, 0, 0, 0, 2, 1 << 3, status})
}

func end(w http.ResponseWriter, status string) { w.Header().Set("Grpc-Status", status) }

// serveHealth serves health as somebody would who does not leave it to kit.
func serveHealth(addr string, ready, live func() bool) {
	answer := func(yes func() bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if !yes() {
				http.Error(w, "no", http.StatusServiceUnavailable)
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", answer(ready))
	mux.HandleFunc("/livez", answer(live))
	go func() {
		if err := http.ListenAndServe(addr, mux); err != nil {
			fmt.Println("health:", err)
		}
	}()
}

func yes() bool { return true }

// ownHealth keeps kit from serving health.
func (s *service) ownHealth() { os.Unsetenv("GAPLESS_HEALTH") }

func isProbe(r *http.Request) bool { return strings.HasPrefix(r.UserAgent(), "kube-probe/") }
