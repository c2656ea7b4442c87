// Package predict is a model that pretends to think.
package predict

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// A Model answers once it is loaded.
type Model struct{ loaded atomic.Bool }

// LoadTime is how long a load takes: LOAD_TIME, or 3 s.
func LoadTime() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("LOAD_TIME")); err == nil {
		return d
	}
	return 3 * time.Second
}

// Load reads the model and has it answer once, so that the first client does not wait for what is only done once.
func (m *Model) Load(ctx context.Context, takes time.Duration) error {
	select {
	case <-time.After(takes):
		m.loaded.Store(true)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ServeHTTP answers after ?ms=.
func (m *Model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !m.loaded.Load() {
		http.Error(w, "the model is not loaded", http.StatusServiceUnavailable)
		return
	}
	ms, _ := strconv.Atoi(r.FormValue("ms"))
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		fmt.Fprintln(w, "a cat, most likely")
	case <-r.Context().Done():
	}
}
