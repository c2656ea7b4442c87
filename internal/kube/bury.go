package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"gapless.dev/gapless/api/v1alpha1"
	"gapless.dev/gapless/internal/traffic/service"
)

// leaves tells whether the Rollout was deleted in the midst of a revision and waits for us.
func (l *look) leaves() bool {
	return l.rollout.DeletionTimestamp != nil && controllerutil.ContainsFinalizer(l.rollout, v1alpha1.Finalizer)
}

// bury ends a deleted Rollout whose Deployment is gone, as when their namespace was deleted in the midst of a revision. No pod is left to give
// back, only what stands beside: the user's budgets, route and Services. The finalizer would else keep the Rollout, and a namespace, for ever.
// Its error is ErrGone when all is done, else what is waited for.
func (a *App) bury(ctx context.Context, l *look) error {
	if err := a.mustBeGone(ctx, l); err != nil {
		return err
	}
	ours, err := a.makeUp(ctx, l)
	if err != nil {
		return err
	}
	if err := a.lookAtTraffic(ctx, l); err != nil {
		return err
	}
	l.pins.Services = slices.DeleteFunc(l.pins.Services, func(s *corev1.Service) bool {
		pin := s.Labels[v1alpha1.LabelPinned]
		return pin != "" && !slices.Contains(ours, pin) // for another Rollout
	})
	wait := fmt.Errorf("Deployment %s is gone, and what stood beside it is being put away", l.deploy.GetName())
	if l.behind != "" {
		a.wrote.forget() // it may have gone, too, before the cache had shown it
		return wait
	}
	if err := a.giveBudgetsBack(ctx, l); err != nil {
		return err
	}
	switch done, err := l.router.Forget(ctx); {
	case err != nil:
		return err
	case !done:
		return wait
	}
	if err := l.pins.PinTo(ctx, ""); err != nil {
		return err
	}
	if err := a.unbind(ctx, l); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", a.Key, ErrGone)
}

// mustBeGone asks the API server itself for the Deployment that is named now, and for the one that was adopted.
func (a *App) mustBeGone(ctx context.Context, l *look) error {
	var live client.Reader = a.Client
	if a.Live != nil {
		live = a.Live
	}
	names := []string{l.rollout.Target()}
	if ad := l.rollout.Status.Adopted; ad != nil && ad.Deployment != names[0] {
		names = append(names, ad.Deployment)
	}
	for i, name := range names {
		switch _, err := Deployment(ctx, live, a.Key.Namespace, name); {
		case err == nil && i == 0:
			return fmt.Errorf("the cache does not show Deployment %s yet", name)
		case err == nil:
			return a.refuse(ctx, l, v1alpha1.ReasonTargetNotFound, "there is no Deployment %s in namespace %s, and %s, which was adopted, stands: set spec.targetRef back to it",
				names[0], a.Key.Namespace, name)
		case !apierrors.IsNotFound(err):
			return err
		}
	}
	return nil
}

// makeUp gives a look what it needs of the Deployment: its name, and labels by which its Services are found. What it was adopted with says
// some of those; a Service that is pinned to a version of ours says the others. It returns those versions.
func (a *App) makeUp(ctx context.Context, l *look) (ours []string, err error) {
	l.buried = true
	podLabels := map[string]string{}
	if ad := l.rollout.Status.Adopted; ad != nil {
		maps.Copy(podLabels, ad.MatchLabels)
		l.deploy.SetUID(types.UID(ad.UID))
	}
	var all corev1.ServiceList
	if err := a.Client.List(ctx, &all, client.InNamespace(a.Key.Namespace)); err != nil {
		return nil, err
	}
	ours = []string{string(l.state.Stable), string(l.state.Candidate), string(l.state.Rejected)}
	for _, s := range all.Items {
		if pin := s.Labels[v1alpha1.LabelPinned]; pin != "" && slices.Contains(ours, pin) {
			maps.Copy(podLabels, s.Spec.Selector)
		}
	}
	delete(podLabels, service.HashKey)
	l.deploy.SetNamespace(a.Key.Namespace)
	l.deploy.SetName(l.rollout.Target())
	return ours, unstructured.SetNestedStringMap(l.deploy.Object, podLabels, "spec", "template", "metadata", "labels")
}
