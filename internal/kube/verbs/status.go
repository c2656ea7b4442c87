package verbs

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/report"
)

// Status is what stands of an app now.
func (c *Cluster) Status(ctx context.Context, app string) (report.Report, error) {
	r, err := c.rollout(ctx, app)
	if err != nil {
		return report.Report{}, err
	}
	return c.seeCounted(ctx, r)
}

// StatusAll is what stands of all apps of the namespace, by name.
func (c *Cluster) StatusAll(ctx context.Context) ([]report.Report, error) {
	all, err := c.rollouts(ctx)
	if err != nil {
		return nil, err
	}
	once := &memo{Client: c.client}
	reports := []report.Report{}
	for i := range all {
		now, err := c.see(ctx, once, &all[i])
		if err != nil {
			return nil, err
		}
		reports = append(reports, now)
	}
	return reports, nil
}

func (c *Cluster) see(ctx context.Context, reader client.Client, r *v1alpha1.Rollout) (report.Report, error) {
	now, err := kube.ViewOf(ctx, reader, c.key(r), c.kept(ctx, r))
	if err != nil {
		return report.Report{}, explain(err)
	}
	now.On = &c.place
	return now, nil
}

// seeCounted is see, with what a probe counts that runs now.
func (c *Cluster) seeCounted(ctx context.Context, r *v1alpha1.Rollout) (report.Report, error) {
	now, err := c.see(ctx, c.client, r)
	if t := c.counting(ctx, r.Target()); err == nil && t != nil {
		now.Traffic = t
	}
	return now, err
}

// kept is what was written down of the present revision; nothing where that may not be read.
func (c *Cluster) kept(ctx context.Context, r *v1alpha1.Rollout) report.Report {
	e, err := kube.EvidenceOf(ctx, c.client, c.key(r))
	if err != nil {
		return report.Report{}
	}
	kept, _ := e.Of(int(r.Status.Revision))
	return kept
}

// History are the revisions that were written down, newest first; the present one as it stands now.
func (c *Cluster) History(ctx context.Context, app string) ([]report.Report, error) {
	r, err := c.rollout(ctx, app)
	if err != nil {
		return nil, err
	}
	e, err := kube.EvidenceOf(ctx, c.client, c.key(r))
	if err != nil {
		return nil, explain(err)
	}
	now, err := c.seeCounted(ctx, r)
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(e.Reports, func(k report.Report) bool { return k.Revision == now.Revision })
	all = append([]report.Report{now}, all...)
	for i := range all {
		all[i].On = &c.place
	}
	return all, nil
}

// Report is one revision; 0 is the newest.
func (c *Cluster) Report(ctx context.Context, app string, revision int) (report.Report, error) {
	all, err := c.History(ctx, app)
	if err != nil {
		return report.Report{}, err
	}
	var kept []int
	for _, r := range all {
		if r.Revision == revision || revision == 0 {
			return r, nil
		}
		kept = append(kept, r.Revision)
	}
	return report.Report{}, problem("%s has no revision %d: the %d that are kept are %s", app, revision, len(kept), fmt.Sprint(kept))
}
