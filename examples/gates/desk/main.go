// Command desk answers the webhook gate: it shows each question, and says yes, or what -no says.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"

	"gapless.dev/kit"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:9900", "listen on `host:port`")
	no := flag.String("no", "", "refuse everything, for this `reason`")
	flag.Parse()
	log.Fatal(kit.ListenAndServe(*addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		question, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			return // MaxBytesReader has answered
		}
		fmt.Printf("%s %s\n", r.URL.Path, question)
		answer := map[string]string{"verdict": "pass", "reason": "the desk says yes"}
		if *no != "" {
			answer = map[string]string{"verdict": "fail", "reason": *no}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	})))
}
