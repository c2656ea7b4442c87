package verbs

import (
	"context"
	"encoding/json"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/follow/choose"
)

// Asked is the tag that a person has to say yes to before it is taken; nil if there is none.
func (c *Cluster) Asked(ctx context.Context, app string) (*choose.Tag, error) {
	r, err := c.rollout(ctx, app)
	if err != nil {
		return nil, err
	}
	if f := r.Status.Follow; f != nil && f.Asked != nil {
		return &choose.Tag{Name: f.Asked.Tag, Commit: f.Asked.Commit}, nil
	}
	return nil, nil
}

// Accept writes the yes onto the Rollout, where the controller finds it.
func (c *Cluster) Accept(ctx context.Context, app string, tag choose.Tag) error {
	r, err := c.rollout(ctx, app)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{v1alpha1.AnnotationYes: tag.Name + "@" + tag.Commit}}})
	if err != nil {
		return err
	}
	return explain(c.client.Patch(ctx, r, client.RawPatch(types.MergePatchType, body)))
}
