package grpckit

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// watched is a health server whose watchers are sent away when the server
// stops accepting: a Watch never ends by itself, and GracefulStop would wait
// for each of them until the deadline.
type watched struct {
	*health.Server
	over <-chan struct{}
}

// Watch streams status changes until the service stops.
func (w watched) Watch(in *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() {
		select {
		case <-w.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := w.Server.Watch(in, watcher{stream, ctx})
	if stream.Context().Err() == nil && ctx.Err() != nil {
		return status.Error(codes.Unavailable, "the service is stopping")
	}
	return err
}

// watcher is a stream with another context.
type watcher struct {
	grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]
	ctx context.Context
}

func (w watcher) Context() context.Context { return w.ctx }
