package grpckit

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"

	"gapless.dev/kit"
	"gapless.dev/kit/kittest"
)

// The test binary is also the service that is judged.
const serveEnv = "GRPCKIT_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) != "" {
		os.Exit(serve())
	}
	os.Exit(m.Run())
}

// serve is a service that speaks gRPC and nothing else.
func serve() int {
	ln, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	svc := kit.New()
	gs := grpc.NewServer()
	gs.RegisterService(&napper, nil)
	Serve(svc, "grpc", gs, ln)
	return svc.Run(context.Background())
}

func TestServe_KeepsTheContract(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kittest.Conform(t, &kittest.Command{
		Path: self,
		Env:  []string{serveEnv + "=1"},
		Declared: kittest.Spec{
			Grace: 9 * time.Second, Drain: 1500 * time.Millisecond, Startup: 40 * time.Second,
			GRPC: true, Path: kittest.HealthMethod, Rate: 50, Edges: 2, Brief: true,
			Skip: map[string]string{"Z21": "gRPC answers have no such header"},
		},
	})
}
