package check

import (
	"testing"

	"gapless.dev/gapless/internal/check"
	"gapless.dev/gapless/internal/check/pod"
	"gapless.dev/kit/kittest"
)

// Pods that serve are not looked at first: their gRPC probe says what they speak.
func TestPlace_AServingPodIsLoadedAsItIsProbed(t *testing.T) {
	for _, test := range []struct {
		name      string
		serving   bool
		path      string
		probePort int
		want      kittest.Spec
		grpcPort  int
	}{
		{"its own port", true, "", 9000, kittest.Spec{GRPC: true, Path: kittest.HealthMethod}, 0},
		{"a method is named", true, "/shop.Cart/Get", 9000, kittest.Spec{GRPC: true, Path: "/shop.Cart/Get"}, 0},
		{"another port", true, "", 9001, kittest.Spec{GRPC: true}, 9001},
		{"a copy is looked at", false, "", 9000, kittest.Spec{}, 0},
	} {
		p := &inCluster{o: &Options{flags: flags{path: test.path}}}
		target := &pod.Target{Serving: test.serving}
		var spec kittest.Spec
		probe := check.Endpoint{Path: kittest.GRPC, Port: test.probePort}
		if err := p.place(target, &spec, check.Declared{Port: 9000, Ready: probe}); err != nil {
			t.Fatal(err)
		}
		if spec.GRPC != test.want.GRPC || spec.Path != test.want.Path || target.GRPCPort != test.grpcPort {
			t.Errorf("%s: gRPC %v on port %d, path %q", test.name, spec.GRPC, target.GRPCPort, spec.Path)
		}
	}
}
