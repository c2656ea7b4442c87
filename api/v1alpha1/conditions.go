package v1alpha1

// The condition types of a Rollout. Each has its reasons below; the table Conditions is what the reference is printed from.
const (
	// ConditionAdopted: the Deployment is in our care.
	ConditionAdopted = "Adopted"
	// ConditionGuarded: a changed template cannot start before we drive it.
	ConditionGuarded = "Guarded"
	// ConditionProgressing: a revision is under way. Its reason is the engine's.
	ConditionProgressing = "Progressing"
	// ConditionHeld: a refused template was written again, and nothing of it starts.
	ConditionHeld = "Held"
	// ConditionFollowing: the highest version of the followed repository is the one that was started last. It is there only with spec.follow.
	ConditionFollowing = "Following"
	// ConditionAborted: the last revision went back to stable. Its reason is the engine's.
	ConditionAborted = "Aborted"
)

// The reasons of Adopted and Guarded.
const (
	ReasonAdopted         = "Adopted"
	ReasonTargetNotFound  = "TargetNotFound"
	ReasonTargetTaken     = "TargetTaken"
	ReasonTargetOwned     = "TargetOwned"
	ReasonServiceMissing  = "ServiceMissing"
	ReasonServiceShared   = "ServiceShared"
	ReasonEjecting        = "Ejecting"
	ReasonAnotherStrategy = "AnotherStrategy"

	ReasonRouteMissing        = "RouteMissing"
	ReasonRouterNotInstalled  = "RouterNotInstalled"
	ReasonRouteWithoutService = "RouteWithoutService"
	ReasonRouteWrongPort      = "RouteWrongPort"
	ReasonRouteTaken          = "RouteTaken"
	ReasonRouteCannot         = "RouteCannot"

	ReasonProven    = "Proven"
	ReasonHoldMode  = "HoldMode"
	ReasonNative    = "Native"
	ReasonUnguarded = "Unguarded"

	ReasonAtRest   = "AtRest"
	ReasonNotHeld  = "NotHeld"
	ReasonPromoted = "Promoted"
)

// A ConditionDoc documents one reason of a condition.
type ConditionDoc struct{ Type, Status, Reason, Means string }

// Conditions lists each condition with its reasons, in the order of the reference.
var Conditions = []ConditionDoc{
	{ConditionAdopted, "True", ReasonAdopted, "the Deployment has the label gapless.dev/managed and is rolled by this Rollout"},
	{ConditionAdopted, "False", ReasonTargetNotFound, "there is no such Deployment in the namespace"},
	{ConditionAdopted, "False", ReasonTargetTaken, "an older Rollout rolls the same Deployment; delete one of the two"},
	{ConditionAdopted, "False", ReasonTargetOwned, "the Deployment is owned by another controller, which would write over what we write; roll it by that one"},
	{ConditionAdopted, "False", ReasonAnotherStrategy, "spec.strategy is recreate or rolling, which Kubernetes carries out by the Deployment's own strategy, and that is the other one; change one of the two"},
	{ConditionAdopted, "False", ReasonServiceMissing, "a Service that is named in spec.services does not exist or does not select the Deployment's pods"},
	{ConditionAdopted, "False", ReasonServiceShared, "one of the Services leads to the pods of another Rollout too; a pin would cut them off"},
	{ConditionAdopted, "False", ReasonRouteMissing, "the route object that spec.traffic names does not exist"},
	{ConditionAdopted, "False", ReasonRouterNotInstalled, "the cluster does not know the kind of route object that spec.traffic names: its definitions are not installed"},
	{ConditionAdopted, "False", ReasonRouteWithoutService, "the route object leads to none of the Services of the Deployment"},
	{ConditionAdopted, "False", ReasonRouteWrongPort, "the route object names a port that the Service does not have"},
	{ConditionAdopted, "False", ReasonRouteTaken, "another Rollout divides the same route object"},
	{ConditionAdopted, "False", ReasonRouteCannot, "the router cannot do what a step asks for"},
	{ConditionAdopted, "False", ReasonEjecting, "the Rollout is being deleted: the Deployment is given back"},
	{ConditionGuarded, "True", ReasonProven, "a server-side dry run showed that a changed template is held"},
	{ConditionGuarded, "True", ReasonHoldMode, "no policy holds the Deployment, so it is kept paused at rest; kubectl rollout resume would roll it natively"},
	{ConditionGuarded, "False", ReasonNative, "recreate and rolling are carried out by Kubernetes itself, and nothing needs to be held"},
	{ConditionGuarded, "False", ReasonUnguarded, "a ReplicaSet that Gapless did not make was started on a Deployment that should have been held"},
	{ConditionProgressing, "True", "*", "a revision is under way; the reason is the engine's last"},
	{ConditionProgressing, "False", ReasonAtRest, "one version serves and nothing moves"},
	{ConditionHeld, "True", "Held", "the refused template was written again: it rests until another one comes, or until gapless retry"},
	{ConditionHeld, "False", ReasonNotHeld, "no refused template stands"},
	{ConditionFollowing, "True", "UpToDate", "the highest version that is followed was started, or is what is live"},
	{ConditionFollowing, "True", "Starting", "a version was chosen, and its rollout is started"},
	{ConditionFollowing, "True", "WaitingForImage", "a version was chosen, and its image does not exist yet"},
	{ConditionFollowing, "False", "NoTag", "no tag of the repository is followed; the message says why"},
	{ConditionFollowing, "False", "TagMoved", "a tag leads to another commit than before; gapless accept is a yes to it"},
	{ConditionFollowing, "False", "Downgrade", "the highest version that is left is below what was started or is live; gapless accept is a yes to it"},
	{ConditionFollowing, "False", "AmbiguousTag", "two tags say the same version and lead to different commits; gapless accept is a yes to one"},
	{ConditionFollowing, "False", "TagUnverified", "the chosen tag has no signature by one of the keys"},
	{ConditionFollowing, "False", "Unreachable", "the git server or the registry does not answer; it is tried again"},
	{ConditionFollowing, "False", "Denied", "the git server or the registry does not let us in, or the Secret may not be read"},
	{ConditionFollowing, "False", "AnswerRefused", "the git server or the registry answers what is not taken: too much, from elsewhere, or something else"},
	{ConditionFollowing, "False", "BadRule", "spec.follow itself cannot be meant"},
	{ConditionAborted, "True", "*", "the last revision went back to stable; the reason says why"},
	{ConditionAborted, "False", ReasonPromoted, "the last revision was promoted, or there was none yet"},
}

// The values of LabelManaged.
const (
	// ManagedByPolicy: an admission policy holds it in the write that changes it.
	ManagedByPolicy = "true"
	// ManagedByPause: there is no such policy, and the Deployment is kept paused at rest.
	ManagedByPause = "paused"
	// ManagedNatively: it is not; Kubernetes rolls it, and we look on.
	ManagedNatively = "native"
)

// Labels and annotations.
const (
	// LabelManaged on a Deployment says how a changed template is kept from starting: one of the three below.
	LabelManaged = Group + "/managed"
	// LabelPinned on a Service holds the hash that its selector is pinned to. EndpointSlices inherit it from the Service that they were
	// computed from, and so tell which selector they follow.
	LabelPinned = Group + "/pinned"
	// AnnotationRoute on a route object of the user says that it is divided, by which Rollout, and what the user wrote in its place.
	AnnotationRoute = Group + "/route"
	// LabelRollout on what is made beside the user's objects names its Rollout.
	LabelRollout = Group + "/rollout"
	// LabelHeld on a Deployment: it does not move but by our hand. A label and not an annotation: Kubernetes copies annotations to ReplicaSets.
	LabelHeld = Group + "/held"
	// AnnotationStrategy on a held Deployment is the strategy that its user wrote meanwhile: type, maxSurge and maxUnavailable.
	AnnotationStrategy = Group + "/strategy"
	// AnnotationConfig in a template stands for the ConfigMaps and Secrets that it names: it changes when they do.
	AnnotationConfig = Group + "/config"
	// ReleaseManager begins the name of the field manager whose write the policies let through. What it was checked at follows: a
	// Deployment's generation, or a Service's resourceVersion. So nothing of it stays in the object.
	ReleaseManager = "gapless-release-"
	// AnnotationOrders on a Rollout is a JSON list of what people ordered and nobody has answered yet.
	AnnotationOrders = Group + "/orders"
	// Finalizer is on a Rollout only while a revision is under way.
	Finalizer = Group + "/revision"
)
