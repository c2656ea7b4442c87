// Package grpckit lets a kit service serve gRPC: its health says NOT_SERVING
// as soon as the drain starts, calls are answered for the whole drain, and
// then the server stops gracefully, inside the service's time budget.
package grpckit

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"gapless.dev/kit"
)

// Serve serves gs on ln as part of svc, from when the service is ready:
//
//	gs := grpc.NewServer()
//	pb.RegisterGreeterServer(gs, greeter)
//	ln, err := net.Listen("tcp", ":9090")
//	if err != nil {
//		log.Fatal(err)
//	}
//	grpckit.Serve(svc, "grpc", gs, ln)
//
// Call it after all of gs's services have been registered. It registers the
// health service, answers for each of them and for "" by the service's phase,
// and returns it for finer statuses. A gs that brings a health service of its
// own keeps it, must turn it NOT_SERVING itself (kit.Service.OnPhase), and nil
// is returned.
func Serve(svc *kit.Service, name string, gs *grpc.Server, ln net.Listener) *health.Server {
	svc.Serve(name, ln, server{gs})
	if _, own := gs.GetServiceInfo()[grpc_health_v1.Health_ServiceDesc.ServiceName]; own {
		return nil
	}
	services := []string{""}
	for service := range gs.GetServiceInfo() {
		services = append(services, service)
	}
	h := health.NewServer()
	over := make(chan struct{})
	grpc_health_v1.RegisterHealthServer(gs, watched{h, over})
	for _, service := range services {
		h.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	}
	svc.OnPhase(func(phase kit.Phase) {
		switch phase {
		case kit.PhaseReady:
			for _, service := range services {
				h.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_SERVING)
			}
		case kit.PhaseDraining, kit.PhaseQuiescing:
			h.Shutdown() // watchers hear it, and nothing turns it back
		}
		if phase == kit.PhaseQuiescing {
			close(over)
		}
	})
	return h
}

// server is a gRPC server as kit wants one.
type server struct{ gs *grpc.Server }

func (s server) Serve(ln net.Listener) error { return s.gs.Serve(ln) }

// Shutdown waits for the calls in flight, which GracefulStop would do for ever.
func (s server) Shutdown(ctx context.Context) error {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.gs.GracefulStop()
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s server) Close() error {
	s.gs.Stop()
	return nil
}
