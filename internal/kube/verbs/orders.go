package verbs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/kube"
	"gapless.dev/gapless/internal/report"
	"gapless.dev/gapless/internal/rollout"
)

func asProblem(err error, p **Problem) bool { return errors.As(err, p) }

// A Refusal is an order that the engine did not obey, with its words.
type Refusal struct{ Text string }

func (r *Refusal) Error() string { return r.Text }

// Order gives an order in the name of the user that the cluster knows, and waits until the controller has taken it in.
func (c *Cluster) Order(ctx context.Context, app string, verb rollout.Verb) (report.Report, error) {
	r, err := c.rollout(ctx, app)
	if err != nil {
		return report.Report{}, err
	}
	key := c.key(r)
	id, err := kube.Order(ctx, c.client, key, verb, c.User(ctx))
	if err != nil {
		return report.Report{}, explain(err)
	}
	waiting, stop := context.WithTimeout(ctx, answerTime)
	defer stop()
	var answer *kube.Answer
	err = kube.Await(waiting, func(ctx context.Context) (bool, error) {
		if err := c.client.Get(ctx, key, r); err != nil || doneOf(r) < id {
			return false, err
		}
		e, err := kube.EvidenceOf(ctx, c.client, key)
		if i := slices.IndexFunc(e.Answers, func(a kube.Answer) bool { return a.ID == id }); err == nil && i >= 0 {
			answer = &e.Answers[i]
		}
		// Who may not read ConfigMaps is told that the order was taken in, and no more.
		return err != nil || answer != nil, nil
	})
	switch {
	case ctx.Err() != nil:
		return report.Report{}, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded) && doneOf(r) < id:
		return report.Report{}, fmt.Errorf("the order %s is written on the Rollout, but nobody has taken it in within %s: does a controller run? kubectl -n gapless-system get pods", verb, answerTime)
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		return report.Report{}, explain(err)
	case answer != nil && !answer.Obeyed:
		return report.Report{}, &Refusal{fmt.Sprintf("%s: %s", app, answer.Message)}
	}
	return c.Status(ctx, r.Name)
}

func doneOf(r *v1alpha1.Rollout) int64 {
	var state rollout.State
	if r.Status.Engine != nil {
		_ = json.Unmarshal(r.Status.Engine.Raw, &state) // of a newer version: it is asked for again
	}
	return state.Done
}
