package target

import (
	"context"
	"errors"
	"iter"

	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/follow/choose"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/kube/verbs"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// cluster is a namespace of a cluster.
type cluster struct{ verbs *verbs.Cluster }

func (c cluster) Place() report.Place             { return c.verbs.Place() }
func (c cluster) User(ctx context.Context) string { return c.verbs.User(ctx) }

func (c cluster) Apps(ctx context.Context) ([]string, error) {
	names, err := c.verbs.Apps(ctx)
	return names, ClusterFailed(err)
}

func (c cluster) Deploy(ctx context.Context, app, version string, o DeployOptions) (report.Report, string, error) {
	now, called, err := c.verbs.Deploy(ctx, app, version, o.Container)
	return now, called, ClusterFailed(err)
}

func (c cluster) Scale(ctx context.Context, app string, n int) (report.Report, error) {
	now, err := c.verbs.Scale(ctx, app, n)
	return now, ClusterFailed(err)
}

func (c cluster) Order(ctx context.Context, app string, verb rollout.Verb) (report.Report, error) {
	now, err := c.verbs.Order(ctx, app, verb)
	return now, ClusterFailed(err)
}

func (c cluster) Status(ctx context.Context, app string) (report.Report, error) {
	now, err := c.verbs.Status(ctx, app)
	return now, ClusterFailed(err)
}

func (c cluster) StatusAll(ctx context.Context) ([]report.Report, error) {
	all, err := c.verbs.StatusAll(ctx)
	return all, ClusterFailed(err)
}

func (c cluster) Watch(ctx context.Context, app string) iter.Seq2[report.Report, error] {
	return coded(c.verbs.Watch(ctx, app))
}

func (c cluster) Follow(ctx context.Context, app string) iter.Seq2[report.Report, error] {
	return coded(c.verbs.Follow(ctx, app))
}

func coded(all iter.Seq2[report.Report, error]) iter.Seq2[report.Report, error] {
	return func(yield func(report.Report, error) bool) {
		for r, err := range all {
			if !yield(r, ClusterFailed(err)) {
				return
			}
		}
	}
}

func (c cluster) History(ctx context.Context, app string) ([]report.Report, error) {
	all, err := c.verbs.History(ctx, app)
	return all, ClusterFailed(err)
}

func (c cluster) Report(ctx context.Context, app string, revision int) (report.Report, error) {
	r, err := c.verbs.Report(ctx, app, revision)
	return r, ClusterFailed(err)
}

func (c cluster) Accept(ctx context.Context, app, tag string) (choose.Tag, error) {
	asked, err := c.verbs.Asked(ctx, app)
	if err != nil {
		return choose.Tag{}, ClusterFailed(err)
	}
	if err := askedFor(app, tag, asked); err != nil {
		return choose.Tag{}, err
	}
	return *asked, ClusterFailed(c.verbs.Accept(ctx, app, *asked))
}

func (c cluster) Plan(ctx context.Context, app, version string, o DeployOptions) (report.Preview, error) {
	p, err := c.verbs.Plan(ctx, app, version, o.Container)
	return p, ClusterFailed(err)
}

// ClusterFailed gives an error of a cluster its exit code.
func ClusterFailed(err error) error {
	var wrong *verbs.Problem
	switch {
	case err == nil:
		return nil
	case errors.Is(err, verbs.ErrUnreachable):
		return exit.With(exit.NothingAnswers, err)
	case errors.As(err, &wrong), errors.Is(err, kube.ErrNoCluster):
		return exit.With(exit.Usage, err)
	}
	return exit.With(exit.Failed, err)
}
