package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"gapless.dev/gapless/examples/grpc/clock"
)

const (
	drain = time.Second
	grace = 8 * time.Second
)

// The service is stopped while clients still come: each second one with a connection of its own, as after a look-up of its name.
func TestStop_UnderLoad(t *testing.T) {
	for _, c := range []struct {
		folder string
		keeps  bool
	}{{".", true}, {"./bare", false}} {
		t.Run(c.folder, func(t *testing.T) {
			t.Parallel()
			addr, cmd := start(t, c.folder)
			kept := dial(t, addr)
			health := watch(t, kept)
			var mu sync.Mutex
			var lost []error
			var load sync.WaitGroup
			begin := time.Now()
			call := func(conn *grpc.ClientConn, takes time.Duration) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if err := conn.Invoke(ctx, clock.Wait, durationpb.New(takes), new(timestamppb.Timestamp)); err != nil {
					mu.Lock()
					defer mu.Unlock()
					lost = append(lost, fmt.Errorf("%v after the start: %w", time.Since(begin).Round(time.Millisecond), err))
				}
			}
			const before = 500 * time.Millisecond
			n := 0
			var notServing time.Duration
			var stopped time.Time
			for ; time.Since(begin) < before+drain; n++ {
				if stopped.IsZero() && time.Since(begin) > before {
					stopped = time.Now()
					if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
						t.Fatal(err)
					}
				}
				conn := kept
				if n%2 == 0 {
					conn = dial(t, addr)
				}
				load.Go(func() { call(conn, time.Duration(n%20)*50*time.Millisecond) })
				time.Sleep(5 * time.Millisecond)
				select {
				case at := <-health:
					notServing = at.Sub(stopped)
				default:
				}
			}
			load.Wait()
			kill := time.AfterFunc(time.Until(stopped.Add(grace)), func() { _ = cmd.Process.Kill() }) // as a kubelet does
			err := cmd.Wait()
			kill.Stop()
			t.Logf("%d of %d calls lost, NOT_SERVING after %v, ended with %v", len(lost), n, notServing, cmd.ProcessState)
			switch {
			case c.keeps && (len(lost) > 0 || err != nil || notServing <= 0 || notServing > time.Second):
				t.Errorf("lost %v", lost)
			case !c.keeps && (len(lost) == 0 || err == nil):
				t.Error("the bare service lost nothing, or ended by itself: its stop waits for the health stream, for ever")
			}
		})
	}
}

// start builds a folder's command, runs it, and returns once it serves.
func start(t *testing.T, folder string) (addr string, cmd *exec.Cmd) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "service")
	if out, err := exec.Command("go", "build", "-o", program, folder).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = ln.Addr().String()
	ln.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd = exec.Command(program)
	cmd.Env = append(os.Environ(), "PORT="+port, "GAPLESS_HEALTH=127.0.0.1:0", "GAPLESS_GRACE="+grace.String(), "GAPLESS_DRAIN="+drain.String(), "GAPLESS_REPORT="+os.DevNull)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	client := grpc_health_v1.NewHealthClient(dial(t, addr))
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err == nil && got.Status == grpc_health_v1.HealthCheckResponse_SERVING {
			return addr, cmd
		}
		if time.Now().After(end) {
			t.Fatalf("does not serve: %v, %v", got, err)
		}
	}
}

// dial is a client that attempts each call once.
func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(), grpc.WithNoProxy())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// watch says when health turns NOT_SERVING.
func watch(t *testing.T, conn *grpc.ClientConn) <-chan time.Time {
	t.Helper()
	stream, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	turned := make(chan time.Time, 1)
	go func() {
		for {
			got, err := stream.Recv()
			if err != nil {
				return
			}
			if got.Status == grpc_health_v1.HealthCheckResponse_NOT_SERVING {
				turned <- time.Now()
				return
			}
		}
	}()
	return turned
}
