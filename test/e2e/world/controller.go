package world

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"gapless.dev/gapless/install"
	"gapless.dev/gapless/internal/kube"
)

// Start runs the controller in this process, for this story's namespace.
func (w *World) Start() {
	ctx, stop := context.WithCancel(context.Background())
	w.Stop, w.Stopped = stop, make(chan struct{})
	go func() {
		defer close(w.Stopped)
		level := slog.LevelInfo
		log := slog.New(slog.NewTextHandler(testWriter{w.T}, &slog.HandlerOptions{Level: level}))
		config := rest.CopyConfig(w.Config) // with the rights that install gives it, and no others
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{next, w, stop} })
		config.Impersonate.UserName = "system:serviceaccount:" + install.Namespace + ":gapless-controller"
		if err := kube.Run(ctx, kube.Options{Config: config, Namespace: w.Namespace, LeaseNamespace: install.Namespace, Log: log}); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "controller:", err)
		}
	}()
	w.Cleanup(w.Halt)
}

// Halt stops the controller, as a rolling update of itself would.
func (w *World) Halt() {
	w.Stop()
	<-w.Stopped
}

// counter counts what the controller writes, its lease and events aside, and can have it die with a write.
type counter struct {
	http.RoundTripper
	w    *World
	stop context.CancelFunc
}

func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || strings.Contains(r.URL.Path, "/leases") || strings.Contains(r.URL.Path, "/events") || r.URL.Query().Has("dryRun") {
		return c.RoundTripper.RoundTrip(r)
	}
	c.w.Writes.Add(1)
	if c.w.DiesBefore.Load() {
		c.stop()
		return nil, errors.New("the controller died before it could write")
	}
	answer, err := c.RoundTripper.RoundTrip(r)
	if c.w.DiesAfter.Load() {
		c.stop()
	}
	return answer, err
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	line := string(p)
	if i := strings.Index(line, "msg="); i > 0 {
		line = time.Now().Format("15:04:05.000 ") + line[i:]
	}
	fmt.Fprint(os.Stderr, "    "+line)
	return len(p), nil
}
