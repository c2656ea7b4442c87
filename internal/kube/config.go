package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"gapless.dev/gapless/api/v1alpha1"
)

// followConfig writes into the template that an object has changed which it names, so that this is a change of the template and is rolled
// as one. What is named for the first time is no change: whoever named it changed the template.
func (a *App) followConfig(ctx context.Context, l *look) error {
	if a.LooksOn || len(l.rollout.Spec.Config) == 0 || l.rollout.DeletionTimestamp != nil || a.now().Before(a.configAgain) {
		return nil
	}
	now, err := a.configOf(ctx, l)
	if err != nil {
		a.configAgain = a.now().Add(time.Minute)
		a.warn(l, "ConfigUnknown", "Config", "spec.config: "+err.Error()+"; gapless install --config gives the rights")
		return nil
	}
	known := l.rollout.Status.Config
	changed := slices.ContainsFunc(slices.Collect(maps.Keys(now)), func(name string) bool {
		was, has := known[name]
		return has && was != now[name]
	})
	if changed {
		text, err := json.Marshal(now)
		if err != nil {
			return err
		}
		mark := map[string]any{v1alpha1.AnnotationConfig: string(hashOf(string(text)))}
		if err := a.patchDeploy(ctx, l, map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": mark}}}}); err != nil {
			return fmt.Errorf("write down that the configuration has changed: %w", err)
		}
	}
	return a.status(ctx, l, func(st *v1alpha1.RolloutStatus) { st.Config = now })
}

// configOf is the version of each object of the kinds asked for that the template names. One that does not exist has none.
func (a *App) configOf(ctx context.Context, l *look) (map[string]string, error) {
	reader := a.Meta
	if reader == nil {
		reader = a.Client
	}
	ctx, stop := context.WithTimeout(ctx, slow)
	defer stop()
	all := map[string]string{}
	template, _, _ := unstructured.NestedFieldNoCopy(l.deploy.Object, "spec", "template", "spec")
	for _, kind := range l.rollout.Spec.Config {
		for name := range named(template, kind) {
			o := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: kind}}
			err := reader.Get(ctx, types.NamespacedName{Namespace: a.Key.Namespace, Name: name}, o)
			if err != nil && !apierrors.IsNotFound(err) {
				return nil, fmt.Errorf("look at %s %s: %w", kind, name, err)
			}
			all[kind+"/"+name] = o.ResourceVersion
		}
	}
	return all, nil
}

// mentions are the fields in which a pod names an object of a kind, and the field of its name in them.
var mentions = map[string]map[string]string{
	"ConfigMap": {"configMapKeyRef": "name", "configMapRef": "name", "configMap": "name"},
	"Secret":    {"secretKeyRef": "name", "secretRef": "name", "secret": "name"},
}

// named are the names of the objects of a kind that a pod's spec mentions, wherever it does: in env, envFrom, or volumes.
func named(spec any, kind string) map[string]bool {
	names := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for field, e := range v {
				of, mentioned := mentions[kind][field]
				if m, ok := e.(map[string]any); ok && mentioned {
					name, _ := m[of].(string)
					if volume, ok := m["secretName"].(string); ok {
						name = volume // a volume says it in another field than the rest
					}
					if name != "" {
						names[name] = true
					}
				}
				walk(e)
			}
		}
	}
	walk(spec)
	return names
}
