package kube

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	policyv1 "k8s.io/api/policy/v1"

	"gapless.dev/gapless/api/v1alpha1"
)

// breakGlass is a line for a shell that gives a held Deployment back as its template stands, without us: the Services lead to all its pods
// again, its budgets are the user's, and then Kubernetes rolls what is left to roll. Each part does nothing where nothing is to be done.
func breakGlass(l *look, kept *v1alpha1.Kept) string {
	kubectl := "kubectl -n " + l.deploy.GetNamespace()
	var line []string
	for _, s := range slices.Concat(l.pins.Services, l.twins.Services) {
		line = append(line, patchLine(kubectl, "svc/"+s.Name, "metadata.resourceVersion",
			fmt.Sprintf(`{"metadata":{"labels":{%q:null}},"spec":{"selector":{%q:null}}}`, v1alpha1.LabelPinned, hashLabel)))
	}
	for _, name := range slices.Sorted(maps.Keys(keptBudgets(kept))) {
		b := keptBudgets(kept)[name]
		text, err := json.Marshal(map[string]any{"spec": map[string]any{"minAvailable": b.MinAvailable, "maxUnavailable": b.MaxUnavailable}})
		if err == nil {
			line = append(line, fmt.Sprintf("%s patch pdb/%s --type=merge -p '%s'", kubectl, name, text))
		}
	}
	line = append(line, patchLine(kubectl, "deploy/"+l.deploy.GetName(), "metadata.generation",
		fmt.Sprintf(`{"metadata":{"labels":{%q:null,%q:null},"annotations":{%q:null}},"spec":{"paused":null,"strategy":%s}}`,
			v1alpha1.LabelManaged, v1alpha1.LabelHeld, v1alpha1.AnnotationStrategy, l.strategyText(kept))))
	return strings.Join(line, "; ")
}

// patchLine patches an object in the name of what it is at, as the policies want it.
func patchLine(kubectl, object, at, patch string) string {
	return fmt.Sprintf(`%[1]s patch %[2]s --type=merge --field-manager=%[3]s$(%[1]s get %[2]s -o jsonpath='{.%[4]s}') -p '%[5]s'`,
		kubectl, object, v1alpha1.ReleaseManager, at, patch)
}

// keptBudgets are the user's PodDisruptionBudgets that are lent, as they were.
func keptBudgets(k *v1alpha1.Kept) map[string]policyv1.PodDisruptionBudgetSpec {
	all := map[string]policyv1.PodDisruptionBudgetSpec{}
	if k != nil && k.Disruption != nil {
		_ = json.Unmarshal(k.Disruption.Raw, &all) // we wrote it
	}
	return all
}
