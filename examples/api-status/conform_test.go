package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gapless.dev/kit/kittest"
)

// The contract asks for 5 stops under load and 20 at the edge: the soak gives 20.
var (
	stops     = flag.Int("stops", 5, "how often the service is stopped under load")
	edges     = flag.Int("edges", 6, "how often it is stopped under clients that connect until the very end")
	tableFile = flag.String("table", "", "file to add a row a rule to")
)

// The test binary is the service, too, with the arguments of the environment after its own.
const (
	asService = "API_STATUS_MAIN"
	moreArgs  = "API_STATUS_ARGS"
)

func TestMain(m *testing.M) {
	if os.Getenv(asService) != "" {
		os.Args = append(os.Args, strings.Fields(os.Getenv(moreArgs))...)
		main()
	}
	os.Exit(m.Run())
}

// kept are the rules that are seen to hold, in the order in which they are judged. The rest is about what the service does not have: workers,
// dependencies, and a count of what POST did. Its only stream is the watch of gRPC health.
const kept = "Z3 Z1 Z2 Z4 Z5 Z6 Z7 Z8 Z9 Z10 Z11 Z12 Z13 Z14 Z15 Z16 Z20 Z21 Z22"

// The prepared service keeps the contract, with its health on the same port, as in the talk, and gRPC on another. A rule that is only a SHOULD
// fails this test like any other, and so does one that was not judged.
func TestPrepared_KeepsTheContract(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	j := kittest.Conform(t, &kittest.Command{
		Path: self, Args: []string{"-addr", "127.0.0.1:{port}"}, SamePort: true, OwnGRPC: true,
		Env: []string{asService + "=1", "PORT_GRPC={grpcport}", "GAPLESS_VERSION=2.0.0"},
		Declared: kittest.Spec{
			Grace: 9 * time.Second, Drain: 1500 * time.Millisecond, Version: "2.0.0",
			ReadyPath: "/ready", LivePath: "/healthz", SlowPath: "/slow?ms={ms}", SlowStart: []string{moreArgs + "=-start-delay 5s"},
			HTTP2: true, GRPC: true, Stops: *stops, Edges: *edges,
		},
	})
	var passed []string
	for _, r := range j.Results {
		if r.Status == kittest.Pass {
			passed = append(passed, r.ID)
		}
	}
	if got := strings.Join(passed, " "); got != kept {
		t.Errorf("seen to hold: %s\nwant:         %s", got, kept)
	}
	rows(t, j.Results)
}

// rows adds what came of each rule.
func rows(t *testing.T, results []kittest.Result) {
	if *tableFile == "" {
		return
	}
	f, err := os.OpenFile(*tableFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, r := range results {
		fmt.Fprintf(f, "| %s | %s | %s | %s |\n", r.ID, r.Title, r.Status, r.Why)
	}
}
