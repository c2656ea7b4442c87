// Package target is where the apps are that a command speaks of: on this machine, or on a cluster. The verbs are the same on both.
package target

import (
	"context"
	"iter"

	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// A Target takes the verbs. Every error of its methods carries the exit code that it leads to.
type Target interface {
	// Place says where it is. Every report has it, too.
	Place() report.Place
	// User is who gives the orders, as the target knows them.
	User(context.Context) string
	// Apps are the names of what can be spoken of.
	Apps(context.Context) ([]string, error)

	// Deploy makes a version the wanted one. It returns the status from right after and what the version is called in it.
	Deploy(ctx context.Context, app, version string, o DeployOptions) (now report.Report, called string, err error)
	// Scale sets how many instances are wanted.
	Scale(ctx context.Context, app string, n int) (report.Report, error)
	// Order gives an order and waits until it is obeyed or refused; a refusal is an error.
	Order(ctx context.Context, app string, verb rollout.Verb) (report.Report, error)

	// Status is what stands of an app; StatusAll, of all of them.
	Status(ctx context.Context, app string) (report.Report, error)
	StatusAll(context.Context) ([]report.Report, error)
	// Watch yields all that stands of an app (of all, if it is empty) now, when something happens, and once a second for the counts.
	// Follow yields only where the rollout stands, when that changes. The last pair of each carries the error.
	Watch(ctx context.Context, app string) iter.Seq2[report.Report, error]
	Follow(ctx context.Context, app string) iter.Seq2[report.Report, error]
	// History are the revisions that are kept, newest first; Report is one of them, 0 the newest.
	History(ctx context.Context, app string) ([]report.Report, error)
	Report(ctx context.Context, app string, revision int) (report.Report, error)
	// Accept says yes to the tag that following asks for, and returns it. An empty tag is whichever that is.
	Accept(ctx context.Context, app, tag string) (choose.Tag, error)
	// Plan tells what a deploy would do.
	Plan(ctx context.Context, app, version string, o DeployOptions) (report.Preview, error)
}

// DeployOptions are what a deploy may need besides the version.
type DeployOptions struct {
	// Container whose image is meant, on a cluster. Empty: the only one.
	Container string
}
