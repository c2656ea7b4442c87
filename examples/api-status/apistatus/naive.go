package apistatus

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"
)

// naive is the service as it is often found: it serves, and SIGTERM ends it in the middle of whatever it does.
func naive(o Options, log *slog.Logger) int {
	s := newStatus(o)
	time.Sleep(o.StartDelay)
	if o.Fail.How == FailDieAfter {
		time.AfterFunc(o.Fail.After, func() { die(log) })
	}
	ok := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	mux := s.mux(ok, ok)
	err := http.ListenAndServe(o.Addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Gapless-Version", o.Version)
		mux.ServeHTTP(w, r)
	}))
	log.Error("not served", "error", err)
	return 1
}

// die ends the process as a crash does: nothing is answered any more.
func die(log *slog.Logger) {
	log.Error("out of memory while sorting: giving up")
	os.Exit(1)
}
