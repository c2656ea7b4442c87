// Package service divides traffic with the user's own Services: a pin gives one version everything, and without a pin the
// pods share it.
//
// A pin is one more key in the Service's selector, and a label with the same value on the Service. Kubernetes copies the labels
// of a Service to the EndpointSlices that it computes from it, out of the same reading as the selector. So a slice with the
// label follows the pin, and that is how a pin is known to have arrived.
package service

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/internal/rollout"
	"gapless.dev/gapless/internal/traffic"
)

// HashKey is the key in a selector that pins a Service to one version.
const HashKey = "pod-template-hash"

var _ traffic.Router = (*Router)(nil)

// A Router of one app in one look.
type Router struct {
	// Client writes.
	Client client.Client
	// Pinned is the label of a pinned Service. Release begins the field manager that the guard lets through; the resourceVersion follows.
	Pinned, Release string
	// Services of the app, and the EndpointSlices of each by the Service's name.
	Services []*corev1.Service
	Slices   map[string][]*discoveryv1.EndpointSlice
	// Version of a pod by its name; "" for pods that are not the app's.
	Version func(pod string) rollout.Version
	// Told is what was told last. It stands for the route of an app that has no Service.
	Told rollout.Route
	// Wrote is told of each object that was written.
	Wrote func(client.Object)
}

// Check has nothing to say: a plan that asks for what Services cannot do is not valid.
func (r *Router) Check(rollout.Plan) error { return nil }

// Read is what all Services agree on.
func (r *Router) Read() traffic.Reading {
	if len(r.Services) == 0 {
		return traffic.Reading{Route: r.Told, Grade: rollout.Told}
	}
	pin, arrived := r.Pin()
	seen := traffic.Reading{Route: rollout.Route{Weights: rollout.Weights{pin: 100}}, Grade: rollout.Told}
	if pin == "" {
		seen.Route = rollout.Route{Weights: r.Shares(), Open: true}
	}
	if !arrived {
		seen.Grade, seen.Waits = rollout.NotYet, "its EndpointSlices do not follow the Service's selector yet"
	}
	return seen
}

// Pin is the version that the Services are pinned to, "" where they are not, and whether all of them and all of their slices follow it.
func (r *Router) Pin() (pin rollout.Version, arrived bool) {
	if len(r.Services) == 0 {
		return "", false
	}
	first := r.Services[0].Spec.Selector[HashKey]
	arrived = true
	for _, s := range r.Services {
		arrived = arrived && s.Spec.Selector[HashKey] == first && r.arrived(s)
	}
	return rollout.Version(first), arrived
}

// arrived tells whether all slices of a Service were computed from its present selector.
func (r *Router) arrived(s *corev1.Service) bool {
	pin := s.Spec.Selector[HashKey]
	if s.Labels[r.Pinned] != pin {
		return false // half a pin: somebody took the label away
	}
	if len(r.Slices[s.Name]) == 0 {
		return false
	}
	for _, slice := range r.Slices[s.Name] {
		if slice.Labels[r.Pinned] != pin {
			return false
		}
		for _, e := range slice.Endpoints {
			if v := r.versionOf(e); pin != "" && v != "" && string(v) != pin {
				return false
			}
		}
	}
	return true
}

// Shares are the parts of the ready endpoints that each version has, in percent that sum to 100.
func (r *Router) Shares() rollout.Weights {
	count, total := map[rollout.Version]int{}, 0
	seen := map[string]bool{}
	for _, s := range r.Services {
		for pod := range Ready(r.Slices[s.Name]) {
			if v := r.Version(pod); v != "" && !seen[pod] {
				seen[pod] = true
				count[v]++
				total++
			}
		}
	}
	weights, left := rollout.Weights{}, 100
	versions := slices.Sorted(maps.Keys(count))
	for i, v := range versions {
		weights[v] = 100 * count[v] / total
		if i == len(versions)-1 {
			weights[v] = left
		}
		left -= weights[v]
	}
	return weights
}

func (r *Router) versionOf(e discoveryv1.Endpoint) rollout.Version {
	if e.TargetRef == nil || e.TargetRef.Kind != "Pod" {
		return ""
	}
	return r.Version(e.TargetRef.Name)
}

// Ready are the names of the pods that slices show as ready and not on their way out.
func Ready(all []*discoveryv1.EndpointSlice) map[string]bool {
	pods := map[string]bool{}
	for _, slice := range all {
		for _, e := range slice.Endpoints {
			ready := e.Conditions.Ready == nil || *e.Conditions.Ready
			if ready && e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
				pods[e.TargetRef.Name] = true
			}
		}
	}
	return pods
}

// Set pins all Services to the one version of the route, or unpins them.
func (r *Router) Set(ctx context.Context, route rollout.Route) error {
	if route.Open {
		return r.PinTo(ctx, "")
	}
	for v, w := range route.Weights {
		if w == 100 && route.Match == nil && route.Mirror == 0 {
			return r.PinTo(ctx, v)
		}
	}
	return fmt.Errorf("a Service can send everything to one version or share by pods, not: %s", route)
}

// PinTo pins all Services to a version; to "" unpins them.
func (r *Router) PinTo(ctx context.Context, v rollout.Version) error {
	pin := string(v)
	for _, s := range r.Services {
		if s.Spec.Selector[HashKey] == pin && s.Labels[r.Pinned] == pin {
			continue
		}
		if err := r.pin(ctx, s, pin); err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	return nil
}

// pin writes one Service as it was seen, or fails with a conflict. An empty pin takes it away.
func (r *Router) pin(ctx context.Context, s *corev1.Service, pin string) error {
	var value any
	if pin != "" {
		value = pin
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{
			"resourceVersion": s.ResourceVersion,
			"labels":          map[string]any{r.Pinned: value},
		},
		"spec": map[string]any{"selector": map[string]any{HashKey: value}},
	})
	if err != nil {
		return err
	}
	written := s.DeepCopy()
	if err := r.Client.Patch(ctx, written, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(r.Release+s.ResourceVersion)); err != nil {
		return err
	}
	r.Wrote(written)
	return nil
}

// Marked is false: a pin takes all of ours with it when it goes.
func (r *Router) Marked() bool { return false }

// Forget has nothing to do.
func (r *Router) Forget(context.Context) (bool, error) { return true, nil }
