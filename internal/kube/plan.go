package kube

import (
	"encoding/json"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/rollout"
)

// Defaults where neither the Rollout nor the Deployment says anything.
const (
	defaultDrain    = 5 * time.Second
	defaultDeadline = 10 * time.Minute
)

// planOf makes the engine's plan of a Rollout and its Deployment.
func planOf(l *look) rollout.Plan {
	p := rollout.Plan{
		App: l.rollout.Name, Split: rollout.ByShare, Strategy: strategyOf(l),
		Drain: drainOf(l.rollout), Deadline: defaultDeadline,
	}
	if n, ok, _ := unstructured.NestedInt64(l.deploy.Object, "spec", "progressDeadlineSeconds"); ok {
		p.Deadline = time.Duration(n) * time.Second
	}
	if d := l.rollout.Spec.Deadline; d != nil {
		p.Deadline = d.Duration
	}
	if l.traffic() != nil {
		p.Split = rollout.ByWeight
	}
	p.MaxSurge, p.MaxUnavailable = surgeOf(l)
	if !native(p.Strategy) { // Kubernetes asks nobody
		p.Gates = spec.Planned(gatesOf(l))
	}
	s := l.rollout.Spec.Strategy
	switch {
	case s == nil:
	case s.BlueGreen != nil:
		p.Manual = s.BlueGreen.Switch == "manual"
		if s.BlueGreen.HoldBack != nil {
			p.HoldBack = s.BlueGreen.HoldBack.Duration
		}
	case s.Canary != nil:
		weight := 0
		for _, s := range s.Canary.Steps {
			step := stepOf(s, weight)
			if p.Split == rollout.ByShare {
				step.Match, step.Mirror, step.MirrorWrites = nil, 0, false // the router came in the middle of a revision
			}
			weight = step.Weight
			p.Steps = append(p.Steps, step)
		}
		if l.bornWithoutDrain() {
			// Stable's pods would be cut off in mid-request when the share shrinks them. With room for a whole second version they
			// stay until the Services are pinned away from them.
			p.MaxSurge = max(p.MaxSurge, l.replicas)
		}
	}
	return p
}

// stepOf reads a step; before is the weight of the one before it.
func stepOf(s v1alpha1.Step, before int) rollout.Step {
	step := rollout.Step{Weight: before, MirrorWrites: s.MirrorWrites}
	if s.Weight != nil {
		step.Weight = int(*s.Weight)
	}
	if s.Mirror != nil {
		step.Mirror = int(*s.Mirror)
	}
	if m := s.Match; m != nil {
		step.Match = &rollout.Match{Header: m.Header, Cookie: m.Cookie}
		if m.Users != nil {
			step.Match.Users = int(*m.Users)
		}
	}
	if s.Pause == "manual" {
		step.Manual = true
	} else if d, err := time.ParseDuration(s.Pause); err == nil { // "" is no pause; the schema lets nothing else in
		step.Pause = d
	}
	return step
}

// strategyOf is the strategy in force. A rolling update by Kubernetes would cut off pods that were born before the adoption, without a
// drain; so as long as stable has such pods, a rollout switches all traffic at once and ends them when they have none.
func strategyOf(l *look) rollout.Strategy {
	if s := askedFor(l); s != rollout.Rolling || !l.bornWithoutDrain() || len(l.pins.Services) == 0 {
		return s
	}
	return rollout.BlueGreen
}

// askedFor is the strategy that the user asks for.
func askedFor(l *look) rollout.Strategy {
	s := l.rollout.Spec.Strategy
	switch {
	case s == nil:
		if l.userStrategy().Type == appsv1.RecreateDeploymentStrategyType {
			return rollout.Recreate
		}
		return rollout.Rolling
	case s.Recreate != nil:
		return rollout.Recreate
	case s.BlueGreen != nil:
		return rollout.BlueGreen
	case s.Canary != nil:
		return rollout.Canary
	}
	return rollout.Rolling
}

func drainOf(r *v1alpha1.Rollout) time.Duration {
	if r.Spec.Drain != nil {
		return r.Spec.Drain.Duration
	}
	return defaultDrain
}

// userStrategy is the Deployment's strategy as its user wrote it, also while ours stands in its place.
func (l *look) userStrategy() appsv1.DeploymentStrategy {
	var s appsv1.DeploymentStrategy
	_ = json.Unmarshal(l.strategyText(l.rollout.Status.Kept), &s) // what cannot be read is empty, and empty has defaults
	return s
}

// strategyText is the same as JSON: what was written meanwhile, else what was kept, else what stands.
func (l *look) strategyText(kept *v1alpha1.Kept) []byte {
	if written, ok := l.deploy.GetAnnotations()[v1alpha1.AnnotationStrategy]; ok && kept != nil {
		if text := strategyOfWords(written); text != nil {
			return text
		}
	}
	if kept != nil && kept.Strategy != nil {
		return kept.Strategy.Raw
	}
	raw, _, _ := unstructured.NestedMap(l.deploy.Object, "spec", "strategy")
	if len(raw) == 0 {
		return []byte(`{"type":"RollingUpdate"}`)
	}
	text, _ := json.Marshal(raw) // a decoded object can be encoded
	return text
}

// strategyOfWords reads what the guard put aside: "Recreate", or "RollingUpdate 25% 0".
func strategyOfWords(written string) []byte {
	words := strings.Fields(written)
	if len(words) == 0 {
		return nil
	}
	s := appsv1.DeploymentStrategy{Type: appsv1.DeploymentStrategyType(words[0])}
	if len(words) == 3 {
		surge, unavailable := intstr.Parse(words[1]), intstr.Parse(words[2])
		s.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: &surge, MaxUnavailable: &unavailable}
	}
	text, _ := json.Marshal(s)
	return text
}

// surgeOf is how far the user lets a rolling update go, in pods. Percentages are rounded as Kubernetes does: surge up, unavailable down.
func surgeOf(l *look) (surge, unavailable int) {
	quarter := intstr.FromString("25%")
	r := l.userStrategy().RollingUpdate
	s, u := &quarter, &quarter
	if r != nil && r.MaxSurge != nil {
		s = r.MaxSurge
	}
	if r != nil && r.MaxUnavailable != nil {
		u = r.MaxUnavailable
	}
	surge, _ = intstr.GetScaledValueFromIntOrPercent(s, l.replicas, true)
	unavailable, _ = intstr.GetScaledValueFromIntOrPercent(u, l.replicas, false)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, unavailable
}

// bornWithoutDrain tells whether pods of stable stand that would stop serving in the moment in which they are told to end.
func (l *look) bornWithoutDrain() bool {
	for _, p := range l.pods[l.state.Stable] {
		if p.DeletionTimestamp != nil {
			continue
		}
		for _, c := range p.Spec.Containers {
			if c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
				return true
			}
		}
	}
	return false
}
