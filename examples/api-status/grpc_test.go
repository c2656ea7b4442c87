package main

import (
	"os"
	"testing"
	"time"

	"gapless.dev/kit/kittest"
)

// The test binary is the service, too.
const asService = "API_STATUS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asService) != "" {
		main()
	}
	os.Exit(m.Run())
}

// Z12: gRPC health turns NOT_SERVING within a second, watchers hear it, and calls are answered for the whole drain.
func TestGRPC_KeepsTheContract(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kittest.Conform(t, &kittest.Command{
		Path: self, Args: []string{"-addr", "127.0.0.1:{port}"}, SamePort: true, OwnGRPC: true,
		Env: []string{asService + "=1", "PORT_GRPC={grpcport}"},
		Declared: kittest.Spec{
			Grace: 9 * time.Second, Drain: 1500 * time.Millisecond, ReadyPath: "/ready", LivePath: "/healthz", GRPC: true,
		},
	}, "Z12")
}
