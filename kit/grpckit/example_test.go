package grpckit_test

import (
	"context"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"

	"gapless.dev/kit"
	"gapless.dev/kit/grpckit"
)

// pb stands for a package that protoc makes, and greeter for a server of its service.
var (
	pb      generated
	greeter any
)

type generated struct{}

func (generated) RegisterGreeterServer(grpc.ServiceRegistrar, any) {}

// This compiles with the tests; the doc comment of Serve shows its lines.
func ExampleServe() {
	svc := kit.New()

	gs := grpc.NewServer()
	pb.RegisterGreeterServer(gs, greeter)
	ln, err := net.Listen("tcp", ":9090")
	if err != nil {
		log.Fatal(err)
	}
	grpckit.Serve(svc, "grpc", gs, ln)

	os.Exit(svc.Run(context.Background()))
}
