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
)

// HashKey is the key in a selector that pins a Service to one version.
const HashKey = "pod-template-hash"

// A Router of one app in one look.
type Router struct {
	// Client writes.
	Client client.Client
	// Pinned is the label of a pinned Service, and Release the annotation that lets a write through the guard.
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

// Read is what all Services agree on.
func (r *Router) Read() (rollout.Route, rollout.Grade) {
	if len(r.Services) == 0 {
		return r.Told, rollout.Told
	}
	first := r.Services[0].Spec.Selector[HashKey]
	grade := rollout.Told
	for _, s := range r.Services {
		if s.Spec.Selector[HashKey] != first || !r.arrived(s) {
			grade = rollout.NotYet
		}
	}
	if first != "" {
		return rollout.Route{Weights: rollout.Weights{rollout.Version(first): 100}}, grade
	}
	return rollout.Route{Weights: r.shares(), Open: true}, grade
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

// shares are the parts of the ready endpoints that each version has, in percent that sum to 100.
func (r *Router) shares() rollout.Weights {
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

// Write pins all Services to the one version of the route, or unpins them.
func (r *Router) Write(ctx context.Context, route rollout.Route) error {
	pin := ""
	if !route.Open {
		for v, w := range route.Weights {
			if w == 100 {
				pin = string(v)
			}
		}
		if pin == "" || route.Match != nil || route.Mirror > 0 {
			return fmt.Errorf("a Service can send everything to one version or share by pods, not: %s", route)
		}
	}
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
			"annotations":     map[string]any{r.Release: s.ResourceVersion},
		},
		"spec": map[string]any{"selector": map[string]any{HashKey: value}},
	})
	if err != nil {
		return err
	}
	written := s.DeepCopy()
	if err := r.Client.Patch(ctx, written, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return err
	}
	r.Wrote(written)
	return nil
}

// Clean takes the last token off the Services that are pinned no more. It tells whether there was nothing left to do.
func (r *Router) Clean(ctx context.Context) (bool, error) {
	clean := true
	for _, s := range r.Services {
		if !r.Dirty(s) {
			continue
		}
		clean = false
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"resourceVersion": s.ResourceVersion, "annotations": map[string]any{r.Release: nil},
		}})
		if err != nil {
			return false, err
		}
		written := s.DeepCopy()
		if err := r.Client.Patch(ctx, written, client.RawPatch(types.MergePatchType, patch)); err != nil {
			return false, fmt.Errorf("service %s: %w", s.Name, err)
		}
		r.Wrote(written)
	}
	return clean, nil
}

// Dirty tells whether a Service still carries anything of ours beside a pin.
func (r *Router) Dirty(s *corev1.Service) bool { return s.Annotations[r.Release] != "" }
