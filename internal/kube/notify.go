package kube

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/controller"
	"gapless.dev/gapless/internal/gate/all"
	"gapless.dev/gapless/internal/gate/spec"
	"gapless.dev/gapless/internal/notify"
	"gapless.dev/gapless/internal/rollout"
)

// targetsOf are those who are told of a Rollout.
func targetsOf(r *v1alpha1.Rollout) []spec.Notify {
	var list []spec.Notify
	for _, n := range r.Spec.Notify {
		list = append(list, spec.Notify{
			URL: n.URL, URLKey: n.URLKey, Template: n.Template, On: n.On, Key: n.Key, Header: maps.Clone(n.Header), Timeout: long(n.Timeout),
		})
	}
	return list
}

// tell has a decision told to those who want to know, in the names that people know.
func (a *App) tell(ctx context.Context, seen controller.Seen, d rollout.Decision) {
	targets := targetsOf(a.seen.rollout)
	if len(targets) == 0 {
		return
	}
	names := a.names(a.seen)
	for _, e := range notify.Of(seen.Plan, seen.State, d, seen.Snapshot.Now) {
		e.Namespace, e.From, e.To, e.Message = a.Key.Namespace, inWords(e.From, names), inWords(e.To, names), inWords(e.Message, names)
		a.notes.Tell(ctx, targets, e)
	}
}

// unsent says that a message could not be sent.
func (a *App) unsent(err error) {
	if l := a.seen; l != nil && a.Events != nil {
		a.Events.Eventf(l.rollout, nil, corev1.EventTypeWarning, "NotificationFailed", "Notify", "%s", err)
	}
}

// keyOf reads a key for messages.
func (a *App) keyOf(name string) ([]byte, error) { return all.Tools{Keys: a.Keys}.Key(name) }
