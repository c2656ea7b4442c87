// Package hook takes the calls of git hosts. A call is only a reason to look: what it says is not believed, and it must be signed.
package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Bounds of what callers may do.
const (
	maxBody = 1 << 20
	// every is the least time between two calls for one app that are followed.
	every = 2 * time.Second
	// tries is how many calls for all apps are looked at within every; the rest is turned away.
	tries = 50
)

// A Receiver answers POST /hooks/NAME, where NAME may hold slashes.
type Receiver struct {
	// Secret is what calls for an app are signed with; empty if the app takes none. It is asked for each call.
	Secret func(r *http.Request, name string) ([]byte, error)
	// Look is told that there is something to look at.
	Look func(r *http.Request, name string) error
	// Now is the clock. Default: time.Now.
	Now func() time.Time

	mu    sync.Mutex
	since time.Time
	calls int
	last  map[string]time.Time
}

func (h *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, "/hooks/")
	switch {
	case !ok || name == "":
		http.NotFound(w, r)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return
	case !h.admitted():
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many calls", http.StatusTooManyRequests)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the body is longer than what is read", http.StatusRequestEntityTooLarge)
		return
	}
	secret, err := h.Secret(r, name)
	// Whether there is such an app is nobody's business who cannot sign.
	if err != nil || len(secret) == 0 || !Signed(r.Header, body, secret) {
		http.Error(w, "there is no such app, or the signature is not by its secret", http.StatusForbidden)
		return
	}
	if h.due(name) {
		if err := h.Look(r, name); err != nil {
			http.Error(w, "it cannot be looked at now", http.StatusServiceUnavailable)
			return
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

func (h *Receiver) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

// admitted bounds what strangers can have us ask for.
func (h *Receiver) admitted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.now(); now.Sub(h.since) >= every {
		h.since, h.calls = now, 0
	}
	h.calls++
	return h.calls <= tries
}

func (h *Receiver) due(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if h.last == nil {
		h.last = map[string]time.Time{}
	}
	for other, at := range h.last {
		if now.Sub(at) >= every {
			delete(h.last, other)
		}
	}
	if _, recent := h.last[name]; recent {
		return false
	}
	h.last[name] = now
	return true
}

// Signed tells whether a call was made by somebody who knows the secret: by the HMAC of its body, as GitHub, Gitea and Forgejo send it, or by
// the secret itself, as GitLab does.
func Signed(header http.Header, body, secret []byte) bool {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	sum := mac.Sum(nil)
	for _, name := range []string{"X-Hub-Signature-256", "X-Gitea-Signature", "X-Forgejo-Signature", "X-Gapless-Signature"} {
		if text := header.Get(name); text != "" {
			got, err := hex.DecodeString(strings.TrimPrefix(text, "sha256="))
			return err == nil && hmac.Equal(got, sum)
		}
	}
	token := header.Get("X-Gitlab-Token")
	return token != "" && subtle.ConstantTimeCompare([]byte(token), secret) == 1
}
