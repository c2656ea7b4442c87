package grpckit

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"gapless.dev/kit"
)

// napper is a service with one method, that takes as long as it is told to.
var napper = grpc.ServiceDesc{
	ServiceName: "test.Napper",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Nap",
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var in durationpb.Duration
			if err := decode(&in); err != nil {
				return nil, err
			}
			select {
			case <-time.After(in.AsDuration()):
				return &emptypb.Empty{}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}},
}

type running struct {
	t      *testing.T
	conn   *grpc.ClientConn
	stop   context.CancelFunc
	code   chan int
	report string
}

// start runs a service with a gRPC server: drain 1 s, close 1 s, and the rest
// of the grace period for calls in flight.
func start(t *testing.T, grace time.Duration) *running {
	t.Helper()
	r := &running{t: t, code: make(chan int, 1), report: filepath.Join(t.TempDir(), "report.json")}
	svc := kit.New(
		kit.WithBudget(kit.Budget{Grace: grace, Drain: time.Second, Close: time.Second}),
		kit.WithLogger(slog.New(slog.DiscardHandler)), kit.WithReport(r.report))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gs := grpc.NewServer()
	gs.RegisterService(&napper, nil)
	Serve(svc, "grpc", gs, ln)

	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.code <- svc.Run(ctx) }()
	r.conn = r.dial(ln.Addr().String())
	t.Cleanup(func() {
		stop()
		<-r.code
	})
	health := grpc_health_v1.NewHealthClient(r.conn)
	for {
		answer, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "test.Napper"}, grpc.WaitForReady(true))
		if err == nil && answer.Status == grpc_health_v1.HealthCheckResponse_SERVING {
			return r
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

func (r *running) dial(addr string) *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

func (r *running) nap(conn *grpc.ClientConn, d time.Duration) error {
	return conn.Invoke(context.Background(), "/test.Napper/Nap", durationpb.New(d), &emptypb.Empty{})
}

func (r *running) wait() (code int, report kit.Report) {
	r.t.Helper()
	code = <-r.code
	r.code <- code
	text, err := os.ReadFile(r.report)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &report); err != nil {
		r.t.Fatal(err)
	}
	return code, report
}

// Z12: health turns NOT_SERVING, watchers hear it, and calls on old and new
// connections are answered after that for the whole drain. How soon they hear
// is for kittest, which knows how late the machine is.
func TestServe_HealthTurnsAtOnceAndCallsAreAnsweredForTheWholeDrain(t *testing.T) {
	r := start(t, time.Minute)
	watch, err := grpc_health_v1.NewHealthClient(r.conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := watch.Recv(); err != nil || first.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("before the stop: %v %v", first, err)
	}
	slow := make(chan error, 1)
	go func() { slow <- r.nap(r.conn, 1800*time.Millisecond) }() // past the drain, within the budget

	time.Sleep(100 * time.Millisecond)
	stopped := time.Now()
	r.stop()
	next, err := watch.Recv()
	if err != nil || next.Status != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Fatalf("after the stop: %v %v", next, err)
	}
	for time.Since(stopped) < 800*time.Millisecond {
		if err := r.nap(r.conn, 0); err != nil {
			t.Errorf("%v into the drain, old connection: %v", time.Since(stopped), err)
		}
		fresh := r.dial(r.conn.Target())
		if err := r.nap(fresh, 0); err != nil {
			t.Errorf("%v into the drain, new connection: %v", time.Since(stopped), err)
		}
		fresh.Close()
		time.Sleep(20 * time.Millisecond)
	}
	if err := <-slow; err != nil {
		t.Errorf("call in flight at the stop: %v", err)
	}
	if code, report := r.wait(); code != 0 || report.NewConnections == 0 {
		t.Errorf("exit %d, report %+v", code, report)
	}
}

func TestServe_ACallThatTakesTooLongIsCutInOrderAndReported(t *testing.T) {
	r := start(t, 4*time.Second)
	var started atomic.Bool
	call := make(chan error, 1)
	go func() {
		started.Store(true)
		call <- r.nap(r.conn, time.Minute)
	}()
	for !started.Load() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	r.stop()
	err := <-call
	if code := status.Code(err); code != codes.Unavailable {
		t.Errorf("cut with %v, want %v", err, codes.Unavailable)
	}
	code, report := r.wait()
	if code != 3 || len(report.Cut.Servers) != 1 || report.Cut.Servers[0] != "grpc" {
		t.Errorf("exit %d, cut %+v", code, report.Cut)
	}
}

func TestServe_AHealthServiceOfOnesOwnIsKept(t *testing.T) {
	svc := kit.New()
	gs := grpc.NewServer()
	defer gs.Stop()
	grpc_health_v1.RegisterHealthServer(gs, grpc_health_v1.UnimplementedHealthServer{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if Serve(svc, "grpc", gs, ln) != nil {
		t.Error("replaced it")
	}
}
