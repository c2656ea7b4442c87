package target

import (
	"context"
	"iter"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/cli/exit"
	"gapless.dev/gapless/internal/local"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

// machine is the Gapless that runs on this machine.
type machine struct {
	client *local.Client
	place  report.Place
	user   string
}

func (m *machine) Place() report.Place         { return m.place }
func (m *machine) User(context.Context) string { return m.user }

func (m *machine) Apps(ctx context.Context) ([]string, error) {
	ping, err := m.client.Ping(ctx)
	return ping.Apps, Failed(err)
}

func (m *machine) Deploy(ctx context.Context, name, version string, o DeployOptions) (report.Report, string, error) {
	if err := m.deployable(version, o); err != nil {
		return report.Report{}, "", err
	}
	now, err := m.here(m.client.Deploy(ctx, name, rollout.Version(version)))
	return now, version, err
}

func (m *machine) deployable(version string, o DeployOptions) error {
	if o.Container != "" {
		return exit.Usagef("--container is for apps on a cluster, and this one runs on this machine; --on kube means the cluster")
	}
	if err := app.ValidVersion(version); err != nil {
		return exit.With(exit.Usage, err)
	}
	return nil
}

func (m *machine) Scale(ctx context.Context, name string, n int) (report.Report, error) {
	return m.here(m.client.Scale(ctx, name, n))
}

func (m *machine) Order(ctx context.Context, name string, verb rollout.Verb) (report.Report, error) {
	return m.here(m.client.Order(ctx, name, verb))
}

func (m *machine) Status(ctx context.Context, name string) (report.Report, error) {
	return m.here(m.client.Status(ctx, name))
}

func (m *machine) StatusAll(ctx context.Context) ([]report.Report, error) {
	return m.allHere(m.client.StatusAll(ctx))
}

func (m *machine) Watch(ctx context.Context, name string) iter.Seq2[report.Report, error] {
	return func(yield func(report.Report, error) bool) {
		for r, err := range m.client.Watch(ctx, name) {
			if !yield(m.here(r, err)) {
				return
			}
		}
	}
}

func (m *machine) Follow(ctx context.Context, name string) iter.Seq2[report.Report, error] {
	return m.Watch(ctx, name)
}

func (m *machine) History(ctx context.Context, name string) ([]report.Report, error) {
	return m.allHere(m.client.History(ctx, name))
}

func (m *machine) Report(ctx context.Context, name string, revision int) (report.Report, error) {
	return m.here(m.client.Report(ctx, name, revision))
}

func (m *machine) Plan(ctx context.Context, name, version string, o DeployOptions) (report.Preview, error) {
	if err := m.deployable(version, o); err != nil {
		return report.Preview{}, err
	}
	p, err := m.client.Plan(ctx, name, rollout.Version(version))
	p.On = &m.place
	return p, Failed(err)
}

func (m *machine) here(r report.Report, err error) (report.Report, error) {
	r.On = &m.place
	return r, Failed(err)
}

func (m *machine) allHere(all []report.Report, err error) ([]report.Report, error) {
	for i := range all {
		all[i].On = &m.place
	}
	return all, Failed(err)
}

// Failed gives an error of the Gapless that runs on this machine its exit code.
func Failed(err error) error {
	switch local.CodeOf(err) {
	case "":
		return nil
	case local.Unreachable:
		return exit.With(exit.NothingAnswers, err)
	case local.NotFound, local.Bad, local.Refused:
		return exit.With(exit.Usage, err)
	}
	return exit.With(exit.Failed, err)
}
