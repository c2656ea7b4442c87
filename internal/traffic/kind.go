package traffic

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"gapless.dev/gapless/internal/rollout"
)

// A Kind knows one kind of route object: where it names Services, and how shares are written in it. It changes objects in memory
// only; weighted.Router reads them, writes them, and puts them back. What a Kind can do beside weights it says by the interfaces below.
type Kind interface {
	// GVK of the object.
	GVK() schema.GroupVersionKind
	// Fields of the user's object that are ours while it is divided, as paths. All else stays untouched.
	Fields() [][]string
	// Backends calls visit with each list of backends, with the list's path for people, and puts what visit returns in its place.
	Backends(o *unstructured.Unstructured, visit func(path string, list []any) []any)
	// Backend reads an entry of such a list. One that leads to no Service of the route's namespace has an empty name.
	Backend(entry map[string]any) Backend
	// Rename has an entry lead to another Service, and leaves all else of it.
	Rename(entry map[string]any, service string)
}

// A Backend is what one entry of a list says.
type Backend struct {
	// Service that it leads to.
	Service string
	// Port of the Service; zero where the entry names none.
	Port intstr.IntOrString
	// Weight of the entry among its list.
	Weight int
}

// A Weigher writes shares in a way of its own. Of kinds that do not, each entry has a field weight, which is a whole number in
// proportion to the others of its list.
type Weigher interface {
	Weigh(o *unstructured.Unstructured, app App, twins int) error
	// Share is the part of the twins in an object as it stands, in percent. agree is false where its lists say different things.
	Share(o *unstructured.Unstructured, app App) (percent int, agree bool)
}

// A Matcher can send requests to the twins by what they carry.
type Matcher interface {
	// Match changes the object so that it does. What needs an object of its own is left to Beside.
	Match(o *unstructured.Unstructured, app App, m rollout.Match) error
}

// A Mirrorer can send the twins copies of requests whose answers are dropped.
type Mirrorer interface {
	Mirror(o *unstructured.Unstructured, app App, percent int, writes bool) error
}

// A Sticker can give the twins a share of users, each of whom stays where their first request went.
type Sticker interface {
	Stick(o *unstructured.Unstructured, app App, users int) error
}

// A Stripper takes out of an object what Match, Mirror and Stick put in, where somebody has changed the object since. found is what the
// user had written before.
type Stripper interface {
	Strip(o, found *unstructured.Unstructured, app App, wrote Split)
}

// A Companion has objects of ours stand beside the user's one. They are there before the user's object changes, and go after it.
type Companion interface {
	// Companions are the kinds of them.
	Companions() []schema.GroupVersionKind
	// Beside are the objects for a split, from what the user wrote.
	Beside(found *unstructured.Unstructured, app App, s Split) ([]*unstructured.Unstructured, error)
}

// A Checker tells what stands in the way of a plan, beside what all kinds have in common.
type Checker interface {
	Check(found *unstructured.Unstructured, app App, plan rollout.Plan) error
}

// A Counter tells what the data plane has counted of both sides, since it began. It is asked when requests are mirrored.
type Counter interface {
	Count(ctx context.Context, o *unstructured.Unstructured, app App) (theirs, twins Counts, err error)
}

// Counts are requests that a data plane sent to some Services.
type Counts struct {
	Requests, Status5xx int64
	// Took is the sum of their latencies.
	Took time.Duration
}

// Since is what was counted after an earlier count.
func (c Counts) Since(before Counts) Counts {
	return Counts{c.Requests - before.Requests, c.Status5xx - before.Status5xx, c.Took - before.Took}
}

// Mean is the mean latency; 0 of nothing.
func (c Counts) Mean() time.Duration {
	if c.Requests <= 0 {
		return 0
	}
	return c.Took / time.Duration(c.Requests)
}

// ErrNotCounted is what Count returns where nobody counts.
var ErrNotCounted = errors.New("the data plane's counts are not known")

// An Acknowledger asks the data plane itself, or reads in the object what the data plane wrote there. It is asked about an object that
// is known to hold the split. again is when to ask once more, where no event will tell; 0 where one will.
type Acknowledger interface {
	Acknowledge(ctx context.Context, o *unstructured.Unstructured, app App, s Split) (grade rollout.Grade, waits string, again time.Duration)
}
