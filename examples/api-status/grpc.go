package main

import (
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"

	"gapless.dev/kit"
	"gapless.dev/kit/grpckit"
)

// serveGRPC serves gRPC, too, where PORT_GRPC names a port for it: gapless sets that for a port of the name grpc. There is nothing to
// call but the health service.
func serveGRPC(svc *kit.Service) error {
	port := os.Getenv("PORT_GRPC")
	if port == "" {
		return nil
	}
	ln, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return fmt.Errorf("PORT_GRPC: %w", err)
	}
	grpckit.Serve(svc, "grpc", grpc.NewServer(), ln)
	return nil
}
