package apistatus

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"gapless.dev/kit"
)

// prepared is the service as it should be: ready when it is ready, and drained before it ends.
func prepared(o Options, log *slog.Logger) int {
	s := newStatus(o)
	svc := kit.New(kit.WithVersion(o.Version), kit.WithLogger(log))
	if o.StartDelay > 0 {
		svc.ReadyWhen("loaded", func(ctx context.Context) error { return pause(ctx, o.StartDelay) })
	}
	if o.Fail.How == FailDieAfter {
		svc.Go("die", func(ctx context.Context) error {
			if pause(ctx, o.Fail.After) == nil {
				die(log)
			}
			return nil
		})
	}
	srv := &http.Server{Addr: o.Addr, Handler: s.mux(kit.Livez, kit.Readyz), ReadHeaderTimeout: 5 * time.Second, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	svc.HTTP("api", srv)
	for _, add := range o.Also {
		if err := add(svc); err != nil {
			log.Error("not served", "error", err)
			return 1
		}
	}
	code := svc.Run(context.Background())
	if err := svc.Err(); err != nil {
		log.Error("not served", "error", err)
	}
	return code
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
