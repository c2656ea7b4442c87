package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"gapless.dev/gapless/install"
	"gapless.dev/gapless/internal/kube"
)

// Start runs the controller in this process, for this story's namespace.
func (w *World) Start() {
	ctx, stop := context.WithCancel(context.Background())
	life := &life{w: w, stop: stop}
	w.Stop, w.Stopped, w.life = stop, make(chan struct{}), life
	stopped := w.Stopped
	go func() {
		defer close(stopped)
		log := slog.New(slog.NewTextHandler(io.MultiWriter(testWriter{w.T}, &w.said), &slog.HandlerOptions{Level: slog.LevelInfo}))
		config := rest.CopyConfig(w.Config) // with the rights that install gives it, and no others
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{next, life} })
		config.Impersonate.UserName = "system:serviceaccount:" + install.Namespace + ":gapless-controller"
		for ctx.Err() == nil { // as the kubelet does
			if err := kube.Run(ctx, kube.Options{Config: config, Namespace: w.Namespace, LeaseNamespace: w.Namespace, Log: log}); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "controller:", err)
			}
		}
	}()
	w.root.Cleanup(func() { stop(); <-stopped })
}

// Said is what the controllers of the story have logged.
func (w *World) Said() string { return w.said.String() }

// said collects what is written.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// Halt stops the controller, as a rolling update of itself would.
func (w *World) Halt() {
	w.Stop()
	<-w.Stopped
}

// Kill ends the controller as SIGKILL would: from now on nothing that it sends arrives.
func (w *World) Kill() {
	w.life.end()
	<-w.Stopped
}

// life is one life of the controller. After its end not a request of it gets through.
type life struct {
	w     *World
	stop  context.CancelFunc
	ended atomic.Bool
}

func (l *life) end() {
	l.ended.Store(true)
	l.stop()
}

// counter counts what the controller asks for and writes, its lease aside, and can have it die with a write.
type counter struct {
	http.RoundTripper
	life *life
}

var errDead = errors.New("the controller is dead")

func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	w := c.life.w
	if asked := w.asked.Load(); asked != nil {
		(*asked)(r)
	}
	switch {
	case c.life.ended.Load():
		return nil, errDead
	case strings.Contains(r.URL.Path, "/leases"):
		return c.RoundTripper.RoundTrip(r)
	case r.Method == http.MethodGet:
		if !r.URL.Query().Has("watch") {
			w.Requests.Add(1)
		}
		return c.RoundTripper.RoundTrip(r)
	}
	w.Requests.Add(1)
	if strings.Contains(r.URL.Path, "/events") || r.URL.Query().Has("dryRun") {
		return c.RoundTripper.RoundTrip(r)
	}
	if before := w.before.Load(); before != nil {
		(*before)(r)
	}
	n := w.Writes.Add(1)
	if os.Getenv("WRITES") != "" {
		fmt.Fprintf(os.Stderr, "    write %d: %s %s\n", n, r.Method, r.URL.Path)
	}
	if w.DiesBefore.Load() || n == w.DiesAt.Load() && !w.DiesLate.Load() {
		c.life.end()
		return nil, errDead
	}
	answer, err := c.RoundTripper.RoundTrip(r)
	if w.DiesAfter.Load() || n == w.DiesAt.Load() {
		c.life.end()
	}
	return answer, err
}

// Before has f look at each write of the controller before it is sent; nil ends that.
func (w *World) Before(f func(*http.Request)) {
	if f == nil {
		w.before.Store(nil)
		return
	}
	w.before.Store(&f)
}

// Asked has f look at every request of the controller, watches and its lease included.
func (w *World) Asked(f func(*http.Request)) { w.asked.Store(&f) }

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	line := string(p)
	if i := strings.Index(line, "msg="); i > 0 {
		line = time.Now().Format("15:04:05.000 ") + line[i:]
	}
	fmt.Fprint(os.Stderr, "    "+line)
	return len(p), nil
}
