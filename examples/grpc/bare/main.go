// Command bare is the service without kit, with the graceful stop that most have: the door is closed at once, while clients are still
// sent here.
package main

import (
	"cmp"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"gapless.dev/gapless/examples/grpc/clock"
)

func main() {
	ln, err := net.Listen("tcp", ":"+cmp.Or(os.Getenv("PORT"), "9090"))
	if err != nil {
		log.Fatal(err)
	}
	gs := grpc.NewServer()
	clock.Register(gs)
	grpc_health_v1.RegisterHealthServer(gs, health.NewServer())

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		gs.GracefulStop()
	}()
	if err := gs.Serve(ln); err != nil {
		log.Fatal(err)
	}
}
