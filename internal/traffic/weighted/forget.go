package weighted

import (
	"context"

	"gapless.dev/gapless/internal/rollout"
)

// Prepare has every version lead to by a Service of its own before two of them have pods, and tells whether that is so: the user's own
// Services are pinned to what serves, and the twins lead to v.
func (r *Router) Prepare(ctx context.Context, v rollout.Version) (done bool, err error) {
	if r.Object == nil || r.Rest == "" || len(r.User.Services) == 0 {
		return true, nil
	}
	pin, arrived := r.User.Pin()
	switch {
	case pin == "":
		return false, r.User.PinTo(ctx, r.Rest)
	case !arrived:
		return false, nil
	case pin == v || r.twinsLead() == v || len(r.named()) == 0:
		return true, nil
	}
	return false, r.leadIdle(ctx, v)
}

// Marked tells whether the route, the Services or anything beside them is not as the user left them.
func (r *Router) Marked() bool {
	pin, _ := r.User.Pin()
	return r.standing().marked || len(r.Companions)+len(r.Twins.Services) > 0 || pin != "" || r.User.Marked()
}

// Forget puts back the route, takes away what is ours, and leaves the Services as the user wrote them, each step when the one before
// it was seen.
func (r *Router) Forget(ctx context.Context) (done bool, err error) {
	at := r.standing()
	switch {
	case r.Object != nil && at.marked && (at.by == r.App.Name || at.by == ""):
		return false, r.write(ctx, at.found, nil)
	case len(r.Companions) > 0:
		for _, o := range r.Companions {
			if err := r.delete(ctx, o); err != nil {
				return false, err
			}
		}
		return false, nil
	case len(r.Twins.Services) > 0:
		for _, s := range r.Twins.Services {
			if err := r.delete(ctx, s); err != nil {
				return false, err
			}
		}
		return false, nil
	}
	if pin, _ := r.User.Pin(); pin != "" {
		return false, r.User.PinTo(ctx, "")
	}
	return r.User.Forget(ctx)
}
