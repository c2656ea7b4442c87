// Package k06 is the rule about nodes: the pods of a service are not all on one.
package k06

import (
	"slices"
	"strings"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
)

// Rule is K6.
var Rule = lint.Rule{
	ID:    "K6",
	Title: "the pods are spread over nodes",
	Why: "Two replicas on one node go down together when the node does. Without a word from you the scheduler only prefers to spread, up to 3 pods apart, " +
		"and it counts the old version's pods as well.",
	Source: "https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/",
	Fix:    lint.Auto,
	Limits: "Default constraints in the scheduler's own configuration are not seen.",
	Check:  check,
}

func check(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, one := range w.Workloads {
		if len(w.Serves(one)) == 0 || w.Replicas(one) < 2 || one.Kind == "DaemonSet" {
			continue
		}
		constraints := one.Pod.Get("topologySpreadConstraints")
		spread, astray := false, manifest.Value{}
		for _, c := range constraints.Items() {
			switch {
			case !lint.Selects(c.Get("labelSelector"), one.Labels()):
				astray = c
			case !slices.Contains(common, c.Get("topologyKey").String()):
				spread = true
			}
		}
		switch {
		case spread || apart(one):
		case astray.Exists():
			all = append(all, lint.Finding{
				Severity: lint.Warning,
				What:     "the spread constraint does not select the pods that it stands in",
				Fix:      "let its labelSelector match the labels of the pods (spec.template.metadata.labels)",
			}.At(astray.Get("labelSelector")))
		default:
			all = append(all, missing(one).At(constraints))
		}
	}
	return all
}

// common are labels that nodes which fail by themselves have in common: to spread over these spreads nothing.
var common = []string{"kubernetes.io/arch", "kubernetes.io/os", "node.kubernetes.io/instance-type", "beta.kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type"}

// apart reports whether an anti-affinity keeps the pods away from each other.
func apart(one *lint.Workload) bool {
	parts := func(term manifest.Value) bool {
		return lint.Selects(term.Get("labelSelector"), one.Labels()) && !slices.Contains(common, term.Get("topologyKey").String())
	}
	anti := one.Pod.Get("affinity", "podAntiAffinity")
	return slices.ContainsFunc(anti.Get("requiredDuringSchedulingIgnoredDuringExecution").Items(), parts) ||
		slices.ContainsFunc(anti.Get("preferredDuringSchedulingIgnoredDuringExecution").Items(), func(weighed manifest.Value) bool {
			return parts(weighed.Get("podAffinityTerm"))
		})
}

func missing(one *lint.Workload) lint.Finding {
	f := lint.Finding{
		Severity: lint.Warning,
		What:     "nothing keeps the pods on different nodes",
		Fix:      "add a topologySpreadConstraint over kubernetes.io/hostname with maxSkew 1 and ScheduleAnyway, which prefers and never blocks",
	}
	selector := strings.TrimSpace(one.Spec.Get("selector").YAML())
	if !one.Spec.Get("selector", "matchLabels").Exists() && !one.Spec.Get("selector", "matchExpressions").Exists() {
		return f
	}
	item := "maxSkew: 1\ntopologyKey: kubernetes.io/hostname\nwhenUnsatisfiable: ScheduleAnyway\nlabelSelector:\n  " + strings.ReplaceAll(selector, "\n", "\n  ") + "\n"
	if one.Kind == "Deployment" {
		item += "matchLabelKeys:\n  - pod-template-hash\n" // each version is spread by itself, not around the pods that go
	}
	f.Edits = []manifest.Edit{one.Pod.Get("topologySpreadConstraints").Append(item)}
	return f
}
