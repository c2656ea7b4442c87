package traffic

// The reasons of a Problem.
const (
	ReasonRouteMissing        = "RouteMissing"        // there is no such route object
	ReasonRouterNotInstalled  = "RouterNotInstalled"  // the cluster does not know the kind
	ReasonRouteWithoutService = "RouteWithoutService" // it leads to none of the app's Services
	ReasonRouteWrongPort      = "RouteWrongPort"      // it names a port that the Service does not have
	ReasonRouteTaken          = "RouteTaken"          // another Rollout divides it
	ReasonRouteCannot         = "RouteCannot"         // it cannot do what the plan asks for
)
