package routers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/test/e2e/world"
)

// Nothing serves the annotation here: what is looked at are the objects.
func TestTraefik1_HasItsWeightsInItsAnnotation(t *testing.T) {
	t.Parallel()
	if !soak {
		t.Skip("told with SOAK=1")
	}
	w := world.New(t)
	defined.Do(func() { define(w) })
	e := &edge{World: w}
	e.setUp(traefik1, canary("manual", 1, 25))
	before, route := e.Theirs(), e.asWritten(traefik1)
	e.Set("2.0.0")
	for i, weight := range []int{1, 25} {
		e.at(fmt.Sprintf("%d/2", i+1))
		e.Eventually(fmt.Sprintf("the annotation has %d %%", weight), 10*time.Second, func() error {
			o := &networkingv1.Ingress{}
			if err := e.Get(e.Context(), types.NamespacedName{Namespace: e.Namespace, Name: "demo"}, o); err != nil {
				return err
			}
			text := o.Annotations["traefik.ingress.kubernetes.io/service-weights"]
			for _, line := range []string{fmt.Sprintf("demo-api: %d%%", 100-weight), fmt.Sprintf("demo-api-candidate: %d%%", weight)} {
				if !strings.Contains(text, line) {
					return fmt.Errorf("no %q in %q", line, text)
				}
			}
			if n := len(o.Spec.Rules[0].HTTP.Paths); n != 2 {
				return fmt.Errorf("%d paths", n)
			}
			return nil
		})
		e.Order(rollout.Promote)
	}
	e.Rests("2.0.0 is stable", isStable(2))
	e.SameAs(before)
	e.sameRoute(traefik1, route)
	proves(t, traefik1.name, toObjects, "weights")
}
