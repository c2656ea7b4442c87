package apistatus

import (
	"os"
	"testing"
	"time"

	"gapless.dev/kit/kittest"
)

// The prepared service keeps the contract, on one port, as in the talk.
func TestPrepared_KeepsTheContract(t *testing.T) {
	t.Parallel()
	kittest.Conform(t, asTarget(t))
}

func TestPrepared_IsNotDrainedBeforeItIsReady(t *testing.T) {
	t.Parallel()
	slow := asTarget(t)
	slow.Args = append(slow.Args, "-start-delay", "3s")
	slow.Declared.SlowStart = []string{"GAPLESS_VERSION=2.0.0"} // it always starts slowly
	kittest.Conform(t, slow, "Z16")
}

// asTarget is this test binary as the service.
func asTarget(t *testing.T) *kittest.Command {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &kittest.Command{
		Path:     self,
		Args:     []string{"-addr", "127.0.0.1:{port}"},
		Env:      []string{"API_STATUS_MAIN=1", "GAPLESS_VERSION=2.0.0"},
		SamePort: true,
		Declared: kittest.Spec{
			Grace: 9 * time.Second, Drain: 1500 * time.Millisecond, Version: "2.0.0",
			ReadyPath: "/ready", LivePath: "/healthz", SlowPath: "/slow?ms={ms}",
			Edges: 3,
		},
	}
}
