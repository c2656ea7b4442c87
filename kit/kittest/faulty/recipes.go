package faulty

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// named sets the version as a service without kit would.
func (s *service) named() {
	s.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		w.Header().Set("Gapless-Version", os.Getenv("GAPLESS_VERSION"))
		next.ServeHTTP(w, r)
	})
}

// talk is the recipe of the talk: when SIGTERM comes, readiness says no, and
// the server is shut down at once, with five seconds for what is in flight.
func talk(s *service) int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	notReady := make(chan struct{})
	serveHealth(s.health, func() bool { return !closed(notReady) }, yes)
	s.named()
	go s.srv.ListenAndServe()
	<-stop
	close(notReady)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if s.srv.Shutdown(ctx) != nil {
		return 1
	}
	return 0
}

// shutdown is what the documentation of Shutdown shows, and most services do.
func shutdown(s *service) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	serveHealth(s.health, func() bool { return ctx.Err() == nil }, yes)
	s.named()
	go s.srv.ListenAndServe()
	<-ctx.Done()
	if s.srv.Shutdown(context.Background()) != nil {
		return 1
	}
	return 0
}

// waitThenShutdown sleeps through the drain before it does that.
func waitThenShutdown(s *service) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	serveHealth(s.health, func() bool { return ctx.Err() == nil }, yes)
	s.named()
	go s.srv.ListenAndServe()
	<-ctx.Done()
	drain, err := time.ParseDuration(os.Getenv("GAPLESS_DRAIN"))
	if err != nil {
		drain = 5 * time.Second
	}
	time.Sleep(drain)
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if s.srv.Shutdown(end) != nil {
		return 1
	}
	return 0
}

// deaf never hears of it.
func deaf(s *service) int {
	signal.Ignore(syscall.SIGTERM)
	serveHealth(s.health, yes, yes)
	s.named()
	_ = s.srv.ListenAndServe()
	return 1
}
