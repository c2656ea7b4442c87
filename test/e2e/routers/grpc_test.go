package routers_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	corev1 "k8s.io/api/core/v1"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
)

// calls are gRPC calls that were counted by the version that answered.
type calls struct {
	mu       sync.Mutex
	versions map[string]int
	lost     []error
}

// dial is a connection whose calls are attempted once.
func (e *edge) dial() *grpc.ClientConn {
	e.Helper()
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimSuffix(strings.TrimPrefix(e.url, "http://"), "/"),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(), grpc.WithNoProxy())
	world.Check(e.T, err)
	return conn
}

func (c *calls) call(ctx context.Context, conn *grpc.ClientConn, header ...string) string {
	ctx, stop := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, header...), 10*time.Second)
	defer stop()
	var md metadata.MD
	_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&md))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.lost = append(c.lost, err)
		return ""
	}
	on := strings.Join(md.Get("gapless-version"), "")
	c.versions[on]++
	return on
}

// calling makes 100 calls a second, half of them on connections of their own, while something happens.
func (e *edge) calling(happens func(c *calls)) *calls {
	e.Helper()
	c := &calls{versions: map[string]int{}}
	kept := e.dial()
	defer kept.Close()
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		every := time.NewTicker(10 * time.Millisecond)
		defer every.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
			wg.Go(func() {
				conn := kept
				if n%2 == 0 {
					conn = e.dial()
					defer conn.Close()
				}
				c.call(context.Background(), conn)
			})
		}
	})
	happens(c)
	stop()
	wg.Wait()
	return c
}

func TestGRPC_LosesNothing(t *testing.T) {
	t.Parallel()
	e := newEdge(t, true)
	e.DeployOf("streams:e2e")
	s := e.Service()
	s.Spec.Ports[0].Name = "http"
	s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "grpc", Port: 9000, TargetPort: world.IntOrString(9000), AppProtocol: new("kubernetes.io/h2c")})
	world.Check(t, e.Update(e.Context(), s))
	steps := []v1alpha1.Step{{Match: match("x-beta=yes", ""), Pause: "manual"}, {Weight: new(int32(25)), Pause: "manual"}}
	e.routed(grpcRoute, &v1alpha1.Strategy{Canary: &v1alpha1.Canary{Steps: steps}})
	before, route := e.Theirs(), e.asWritten(grpcRoute)
	e.Eventually("a call is answered", time.Minute, func() error {
		c := &calls{versions: map[string]int{}}
		conn := e.dial()
		defer conn.Close()
		if c.call(e.Context(), conn); len(c.lost) > 0 {
			return c.lost[0]
		}
		return nil
	})
	counted := e.calling(func(*calls) {
		time.Sleep(time.Second)
		e.Set("2.0.0")
		e.at("1/2")
		conn := e.dial()
		defer conn.Close()
		for range 20 {
			other := &calls{versions: map[string]int{}}
			if on := other.call(e.Context(), conn, "x-beta", "yes"); on != "2.0.0" {
				t.Fatalf("with the header %q answers: %v", on, other.lost)
			}
		}
		e.Order(rollout.Promote)
		e.at("2/2")
		time.Sleep(3 * time.Second)
		e.Order(rollout.Promote)
		e.Rests("2.0.0 is stable", isStable(2))
		time.Sleep(time.Second)
	})
	t.Logf("%d calls lost, answers by version %v", len(counted.lost), counted.versions)
	if len(counted.lost) > 0 || counted.versions["2.0.0"] == 0 {
		t.Errorf("lost: %v", counted.lost)
	}
	e.SameAs(before)
	e.sameRoute(grpcRoute, route)
	all := len(counted.lost)
	for _, n := range counted.versions {
		all += n
	}
	e.row("canary", "prepared", grpcRoute, "by a header, then 25 %; 100 calls a second", report.Traffic{Requests: all, Lost: len(counted.lost)})
	proves(t, grpcRoute.name, toDataPlane, "weights", "header")
}
