// Command model is a model server that takes long to start and long to answer, and can be replaced without loss: it listens once the
// model is loaded and warm, gives up loading when it is asked to stop, and has time for its slowest answer.
package main

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"time"

	"gapless.dev/gapless/examples/model/predict"
	"gapless.dev/kit"
)

func main() {
	var model predict.Model
	mux := http.NewServeMux()
	mux.Handle("/predict", &model)

	svc := kit.New()
	svc.ReadyWhen("model", func(ctx context.Context) error { return model.Load(ctx, predict.LoadTime()) })
	svc.HTTP("api", &http.Server{Addr: ":" + cmp.Or(os.Getenv("PORT"), "8080"), Handler: mux, ReadHeaderTimeout: 5 * time.Second})
	svc.Health(":8081") // /startupz for the startupProbe
	os.Exit(svc.Run(context.Background()))
}
