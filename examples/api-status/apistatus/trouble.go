package apistatus

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// parseTrouble reads "2%", "2%@60s" for errors, or "100ms" for slowness.
func parseTrouble(f Failure, how How, text string) (Failure, bool) {
	if how == FailSlow {
		d, err := time.ParseDuration(text)
		f.After = d
		return f, err == nil && d > 0
	}
	share, from, late := strings.Cut(text, "@")
	percent, err := strconv.ParseFloat(strings.TrimSuffix(share, "%"), 64)
	if err != nil || !strings.HasSuffix(share, "%") || percent <= 0 || percent > 100 {
		return f, false
	}
	f.Share = percent / 100
	if late {
		d, err := time.ParseDuration(from)
		f.After = d
		return f, err == nil && d > 0
	}
	return f, true
}

// troubled answers as the failure has it: some requests with 500, or all of them late.
func (s *status) troubled(next http.HandlerFunc) http.HandlerFunc {
	f, began := s.failure, time.Now()
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case f.How == FailSlow:
			if pause(r.Context(), f.After) != nil {
				return
			}
		case f.How != FailErrors && f.How != FailPost, time.Since(began) < f.After, f.How == FailPost && r.Method != http.MethodPost:
		case rand.Float64() < f.Share:
			http.Error(w, fmt.Sprintf("%s cannot reach its database", s.version), http.StatusInternalServerError)
			return
		}
		next(w, r)
	}
}
