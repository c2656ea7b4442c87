// Command bare is the model server without kit: it listens, and says ready, before it can answer.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"gapless.dev/gapless/examples/model/predict"
)

func main() {
	var model predict.Model
	go func() { _ = model.Load(context.Background(), predict.LoadTime()) }()
	mux := http.NewServeMux()
	mux.Handle("/predict", &model)
	ok := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	mux.HandleFunc("/readyz", ok)
	mux.HandleFunc("/livez", ok)
	log.Fatal(http.ListenAndServe(":"+cmp.Or(os.Getenv("PORT"), "8080"), mux))
}
