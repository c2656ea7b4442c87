// Package traffic is the port to data planes: what carries a route to one is a Router.
package traffic

import (
	"context"

	"gapless.dev/gapless/internal/rollout"
)

// A Router carries routes to one data plane, and reads them back from it. One is made for each look and knows what that look saw;
// each of its methods does one step, and what remains is done at a later look.
type Router interface {
	// Check tells what stands in the way of a plan: a *Problem with the field and the fix, or nil.
	Check(rollout.Plan) error
	// Read tells what the data plane is configured for, and how that is known.
	Read() Reading
	// Set has the data plane configured for a route. It writes nothing where that is so already, and does not wait.
	// What was changed by somebody since the look is a conflict.
	Set(context.Context, rollout.Route) error
	// Marked tells whether anything of ours is left in what the user wrote, or beside it.
	Marked() bool
	// Forget puts back what the user wrote, and tells whether nothing of ours is left. It is asked of an app at rest.
	Forget(context.Context) (done bool, err error)
}

// A Reading is what a data plane is configured for.
type Reading struct {
	Route rollout.Route
	// Grade is NotYet while a change is on its way.
	Grade rollout.Grade
	// Waits says in words what keeps the route from arriving, where that is known.
	Waits string
}

// A Problem is what a person has to mend before a route can be carried.
type Problem struct {
	// Reason is one CamelCase word, as conditions have it.
	Reason string
	// Text names the field, what is wrong with it, and the fix.
	Text string
}

func (p *Problem) Error() string { return p.Text }
