package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
)

// quiet drops what net/http would print: the counts hold it.
var quiet = log.New(io.Discard, "", 0)

// refuse answers in the proxy's own name, in one plain line. Whoever may try again soon is told so.
func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Server", "gapless")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, "gapless: "+format+"\n", args...)
}

// token is what a client carries for an instance: it tells nobody the instance's name.
func token(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:8])
}
