// Command grpc is a gRPC service that can be replaced without loss: its health says NOT_SERVING as soon as it is asked to stop, it goes on
// answering while clients move, and it ends with the last call.
package main

import (
	"cmp"
	"context"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"

	"gapless.dev/gapless/examples/grpc/clock"
	"gapless.dev/kit"
	"gapless.dev/kit/grpckit"
)

func main() {
	ln, err := net.Listen("tcp", ":"+cmp.Or(os.Getenv("PORT"), "9090"))
	if err != nil {
		log.Fatal(err)
	}
	gs := grpc.NewServer()
	clock.Register(gs)

	svc := kit.New()
	svc.Health(":8081")
	grpckit.Serve(svc, "grpc", gs, ln)
	os.Exit(svc.Run(context.Background()))
}
