package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/rollout"
)

// Give writes an order on a Rollout, where the controller finds it. It does not wait for what becomes of it.
func Give(ctx context.Context, c client.Client, key types.NamespacedName, verb rollout.Verb, by string) error {
	_, err := Order(ctx, c, key, verb, by)
	return err
}

// Order is Give, and returns the order's ID.
func Order(ctx context.Context, c client.Client, key types.NamespacedName, verb rollout.Verb, by string) (id int64, err error) {
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		var r v1alpha1.Rollout
		if err := c.Get(ctx, key, &r); err != nil {
			return err
		}
		var state rollout.State
		if raw := r.Status.Engine; raw != nil {
			if err := json.Unmarshal(raw.Raw, &state); err != nil {
				return fmt.Errorf("status.engine of %s: %w", key, err)
			}
		}
		before := r.DeepCopy()
		var open []rollout.Order
		if text := r.Annotations[v1alpha1.AnnotationOrders]; text != "" {
			var all []rollout.Order
			if err := json.Unmarshal([]byte(text), &all); err == nil { // what cannot be read is no order
				for _, o := range all {
					if o.ID > state.Done {
						open = append(open, o)
					}
				}
			}
		}
		now := time.Now().UTC()
		last := state.Done
		for _, o := range open {
			last = max(last, o.ID)
		}
		id = max(last+1, now.UnixNano())
		open = append(open, rollout.Order{ID: id, Verb: verb, By: by, At: now})
		text, err := json.Marshal(open)
		if err != nil {
			return err
		}
		if r.Annotations == nil {
			r.Annotations = map[string]string{}
		}
		r.Annotations[v1alpha1.AnnotationOrders] = string(text)
		return c.Patch(ctx, &r, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
	return id, err
}
