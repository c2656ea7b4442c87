// Package k05 is the rule about voluntary disruption: node drains go through, and not through everything at once.
package k05

import (
	"fmt"
	"strings"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
)

// Rule is K5.
var Rule = lint.Rule{
	ID:    "K5",
	Title: "a PodDisruptionBudget selects the pods and lets one go at a time",
	Why: "Whoever drains nodes may evict all pods of a service in one moment, unless a PodDisruptionBudget says otherwise. " +
		"One that never lets a pod go blocks the drain instead, until somebody forces it.",
	Source: "https://kubernetes.io/docs/tasks/run-application/configure-pdb/",
	Fix:    lint.Auto,
	Limits: "A budget that is not among the files is not seen.",
	Check:  check,
}

func check(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, one := range w.Workloads {
		replicas := w.Replicas(one)
		if len(w.Serves(one)) == 0 || one.Kind == "DaemonSet" || replicas == 0 {
			continue // a drain leaves the pods of DaemonSets alone
		}
		budgets := w.Budgets(one)
		switch {
		case len(budgets) == 0 && replicas > 1 && one.Kind != "Pod":
			all = append(all, missing(w, one))
		case len(budgets) > 1:
			all = append(all, lint.Finding{
				Severity: lint.Warning,
				What:     fmt.Sprintf("%s and %s both select the pods of %s", budgets[0].ID(), budgets[1].ID(), one.ID()),
				Why:      "The eviction of a pod that two budgets select is refused with an error: the node cannot be drained.",
				Fix:      "keep one of them",
			}.At(budgets[1].Get("spec", "selector")))
		}
	}
	for _, o := range w.Objects {
		if o.Is("policy/", "PodDisruptionBudget") {
			all = append(all, judge(w, o)...)
		}
	}
	return append(all, astray(w)...)
}

func missing(w *lint.World, one *lint.Workload) lint.Finding {
	f := lint.Finding{
		Severity: lint.Warning,
		What:     "no PodDisruptionBudget selects the pods",
		Fix:      "add a PodDisruptionBudget with maxUnavailable: 1",
	}
	taken := false
	for _, o := range w.Objects {
		taken = taken || o.Is("policy/", "PodDisruptionBudget") && o.Name == one.Name && o.Namespace == one.Namespace
	}
	selector := selector(one)
	if taken || selector == "" || one.Name == "" {
		return f.At(one.Get("metadata", "name"))
	}
	namespace := ""
	if one.Namespace != "" {
		namespace = "\n  namespace: " + manifest.Word(one.Namespace)
	}
	f.Edits = []manifest.Edit{one.AddAfter(fmt.Sprintf(`apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: %s%s
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    %s
`, manifest.Word(one.Name), namespace, strings.ReplaceAll(selector, "\n", "\n    ")))}
	return f.At(one.Get("metadata", "name"))
}

// selector is the workload's own, as a budget wants it: that of a ReplicationController is only labels.
func selector(one *lint.Workload) string {
	at := one.Spec.Get("selector")
	text := strings.TrimSpace(at.YAML())
	if one.Kind == "ReplicationController" && len(at.Pairs()) > 0 {
		return "matchLabels:\n  " + strings.ReplaceAll(text, "\n", "\n  ")
	}
	return text
}

// judge looks at how many pods may go, of all that the budget selects.
func judge(w *lint.World, b *manifest.Object) []lint.Finding {
	replicas, names, serves := 0, []string{}, false
	for _, one := range w.Selected(b, b.Get("spec", "selector")) {
		n := w.Replicas(one)
		if one.Kind == "DaemonSet" || n == 0 {
			continue
		}
		replicas, names = replicas+n, append(names, one.ID())
		serves = serves || len(w.Serves(one)) > 0
	}
	if !serves {
		return nil
	}
	return disrupts(b, strings.Join(names, " and "), replicas)
}

func disrupts(b *manifest.Object, pods string, replicas int) []lint.Finding {
	least, most := b.Get("spec", "minAvailable"), b.Get("spec", "maxUnavailable")
	at, may := least, replicas-lint.Percent(least, "0", replicas, true)
	if most.Exists() {
		at, may = most, lint.Percent(most, "0", replicas, true)
	}
	f := lint.Finding{Severity: lint.Warning, Fix: "maxUnavailable: 1"}
	switch {
	case !at.Exists():
		return nil
	case may <= 0:
		f.What = fmt.Sprintf("no pod of %s may ever be evicted: %s with %d of them", pods, written(at), replicas)
		f.Why = "A node with one of these pods cannot be drained. In the end somebody forces it, and then nothing is waited for."
		if replicas == 1 {
			f.Fix = "run 2 replicas and allow maxUnavailable: 1; with one replica, each drain of its node is a gap"
			return []lint.Finding{f.At(at)}
		}
	case may >= replicas && replicas > 1:
		f.What = fmt.Sprintf("all %d pods of %s may be evicted at once: %s", replicas, pods, written(at))
	default:
		return nil
	}
	if at.Path() == most.Path() {
		f.Edits = []manifest.Edit{most.Set("1")}
	} else {
		f.Edits = []manifest.Edit{least.Replace("maxUnavailable", "1")}
	}
	return []lint.Finding{f.At(at)}
}

func written(v manifest.Value) string {
	return v.Path()[strings.LastIndexByte(v.Path(), '.')+1:] + " " + v.String()
}

// astray are budgets that select nothing of what is there.
func astray(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, b := range w.Objects {
		if !b.Is("policy/", "PodDisruptionBudget") {
			continue
		}
		if selector := b.Get("spec", "selector"); len(w.Near(b)) > 0 && len(w.Selected(b, selector)) == 0 {
			all = append(all, lint.Finding{
				Severity: lint.Warning,
				What:     "the PodDisruptionBudget selects no pod of any workload in its namespace that is given here",
				Fix:      "let its selector match the labels of the pods (spec.template.metadata.labels)",
			}.At(b.Get("spec", "selector")))
		}
	}
	return all
}
