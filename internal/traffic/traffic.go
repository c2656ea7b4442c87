// Package traffic is the port to data planes: what carries a route to one is a Router.
package traffic

import (
	"context"

	"gapless.dev/gapless/internal/rollout"
)

// A Router carries routes to one data plane, and reads them back from it. One is made for each look and knows what that look saw.
type Router interface {
	// Read tells what the data plane is configured for, and how that is known. The grade is NotYet while a change is on its way.
	Read() (rollout.Route, rollout.Grade)
	// Write has the data plane configured for a route. It writes nothing where that is so already, and does not wait.
	Write(context.Context, rollout.Route) error
}
