package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

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

// Z12: health turns NOT_SERVING within a second, watchers hear it, and calls on old and new connections are answered for the whole drain.
func TestGRPC_KeepsTheContract(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().(*net.TCPAddr)
	free.Close()
	kittest.Conform(t, &kittest.Command{
		Path: self, Args: []string{"-addr", "127.0.0.1:{port}"}, SamePort: true,
		Env: []string{asService + "=1", fmt.Sprint("PORT_GRPC=", at.Port)},
		Declared: kittest.Spec{
			Grace: 9 * time.Second, Drain: 1500 * time.Millisecond, ReadyPath: "/ready", LivePath: "/healthz",
			Judges: map[string]func(context.Context, *kittest.Session) kittest.Result{
				"Z12": func(ctx context.Context, s *kittest.Session) kittest.Result { return judge(ctx, s, at.String()) },
			},
		},
	}, "Z12")
}

func judge(ctx context.Context, s *kittest.Session, addr string) kittest.Result {
	wrong := func(format string, args ...any) kittest.Result {
		return kittest.Result{Status: kittest.Fail, Why: fmt.Sprintf(format, args...)}
	}
	in, err := s.Target.Start(ctx)
	if err != nil {
		return wrong("start: %v", err)
	}
	defer in.Kill()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client, hangUp, err := dial(addr)
	if err != nil {
		return wrong("%v", err)
	}
	defer hangUp()
	watch, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return wrong("watch: %v", err)
	}
	if err := hears(watch, grpc_health_v1.HealthCheckResponse_SERVING); err != nil {
		return wrong("before the stop: %v", err)
	}
	stopped := time.Now()
	if err := in.Signal(syscall.SIGTERM); err != nil {
		return wrong("SIGTERM: %v", err)
	}
	if err := hears(watch, grpc_health_v1.HealthCheckResponse_NOT_SERVING); err != nil {
		return wrong("after the stop: %v", err)
	}
	heard := time.Since(stopped)
	if heard > time.Second {
		return wrong("the watcher heard it after %v", heard)
	}
	calls := 0
	for time.Since(stopped) < s.Spec.Drain-300*time.Millisecond {
		fresh, hangUp, err := dial(addr)
		if err != nil {
			return wrong("%v", err)
		}
		for name, c := range map[string]grpc_health_v1.HealthClient{"old": client, "new": fresh} {
			if _, err := c.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil {
				hangUp()
				return wrong("%v into the drain, on the %s connection: %v", time.Since(stopped), name, err)
			}
			calls++
		}
		hangUp()
	}
	select {
	case <-in.Exited():
	case <-ctx.Done():
		return wrong("it does not end")
	}
	if exit := in.Exit(); exit.Code != 0 {
		return wrong("exit %v", exit)
	}
	return kittest.Result{Status: kittest.Pass, Why: fmt.Sprintf("NOT_SERVING after %v, %d calls answered in the drain", heard.Round(time.Millisecond), calls)}
}

func dial(addr string) (client grpc_health_v1.HealthClient, hangUp func(), err error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(), grpc.WithDisableRetry())
	if err != nil {
		return nil, nil, err
	}
	return grpc_health_v1.NewHealthClient(conn), func() { conn.Close() }, nil
}

// hears waits for a status on a watch that is told each change.
func hears(watch grpc_health_v1.Health_WatchClient, want grpc_health_v1.HealthCheckResponse_ServingStatus) error {
	for {
		next, err := watch.Recv()
		if err != nil || next.Status == want {
			return err
		}
	}
}
