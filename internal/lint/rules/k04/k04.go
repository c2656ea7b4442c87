// Package k04 is the rule about replacement itself: a new pod is there before an old one goes, and can be.
package k04

import (
	"fmt"
	"slices"
	"strings"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
)

// Rule is K4.
var Rule = lint.Rule{
	ID:     "K4",
	Title:  "some pod serves at every moment of a rollout, and the extra pod that this takes can start",
	Why:    "When all pods may be away at once there is nobody to answer. When the extra pod cannot start, the rollout hangs, or takes the old pod first.",
	Source: "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment",
	Fix:    lint.Auto,
	Asks:   []lint.Question{askStrategy},
	Limits: "Room on the nodes and quotas are not seen. A volume claim is judged only if it is among the files.",
	Unseen: unseen,
	Check:  check,
}

var askStrategy = lint.Question{Key: "K4.strategy", Text: "may old and new pods run side by side? then RollingUpdate", Check: lint.OneOf("RollingUpdate")}

const oneMore = "type: RollingUpdate\nrollingUpdate:\n  maxSurge: 1\n  maxUnavailable: 0\n"

func check(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, one := range w.Workloads {
		if len(w.Serves(one)) == 0 {
			continue
		}
		switch one.Kind {
		case "Deployment":
			all = append(all, deployment(w, one)...)
		case "StatefulSet":
			if w.Replicas(one) == 1 {
				all = append(all, lint.Finding{
					Severity: lint.Warning,
					What:     "a StatefulSet replaces its pod in place, and it has one",
					Fix:      "run at least 2 replicas if the service can; else each rollout is a gap as long as a stop and a start",
				}.At(one.Spec.Get("replicas")))
			}
		case "Pod", "ReplicaSet", "ReplicationController":
			if len(w.Services(one)) > 0 {
				all = append(all, lint.Finding{
					Severity: lint.Error,
					What:     fmt.Sprintf("a %s that stands alone is never replaced by a new version", one.Kind),
					Fix:      "let a Deployment keep it",
				}.At(one.Value))
			}
		}
	}
	return all
}

func deployment(w *lint.World, one *lint.Workload) []lint.Finding {
	replicas := w.Replicas(one)
	if replicas == 0 {
		return nil
	}
	strategy := one.Spec.Get("strategy")
	hindrances := hinder(w, one)
	if strategy.Get("type").String() == "Recreate" {
		f := lint.Finding{
			Severity: lint.Error,
			What:     "Recreate stops all old pods before the first new one starts",
			Fix:      "use RollingUpdate with maxSurge 1 and maxUnavailable 0, if old and new pods may run side by side",
			Ask:      &askStrategy,
		}
		if len(hindrances) > 0 {
			f.Ask, f.Fix = nil, f.Fix+"; here they cannot: "+hindrances[0].What
		} else if w.Answers.Of(one.Object, askStrategy.Key) == "RollingUpdate" {
			f.Edits = []manifest.Edit{strategy.Set(oneMore)}
		}
		return []lint.Finding{f.At(strategy.Get("type"))}
	}
	rolling := strategy.Get("rollingUpdate")
	surge := lint.Percent(rolling.Get("maxSurge"), "25%", replicas, true)
	away := lint.Percent(rolling.Get("maxUnavailable"), "25%", replicas, false)
	if surge == 0 {
		away = max(1, away) // both 0 would stand still, so Kubernetes takes 1
	}
	var all []lint.Finding
	if away >= replicas {
		all = append(all, lint.Finding{
			Severity: lint.Error,
			What:     fmt.Sprintf("all of %d may be away at once: maxUnavailable %s, maxSurge %s", replicas, shown(rolling.Get("maxUnavailable")), shown(rolling.Get("maxSurge"))),
			Fix:      "maxSurge: 1, maxUnavailable: 0",
			Edits: []manifest.Edit{
				strategy.Get("rollingUpdate", "maxSurge").SetAfter("replicas", "1"),
				strategy.Get("rollingUpdate", "maxUnavailable").Set("0"),
			},
		}.At(rolling.Get("maxUnavailable")))
		surge = 1
	}
	if surge > 0 {
		all = append(all, hindrances...)
	}
	return all
}

func shown(v manifest.Value) string {
	if v.Exists() {
		return v.String()
	}
	return "25%"
}

// hinder are the reasons why an extra pod may not be able to start.
func hinder(w *lint.World, one *lint.Workload) []lint.Finding {
	var all []lint.Finding
	for _, volume := range one.Pod.Get("volumes").Items() {
		claim := volume.Get("persistentVolumeClaim", "claimName")
		modes, found := accessModes(w, one, claim.String())
		switch {
		case !found || slices.Contains(modes, "ReadWriteMany") || slices.Contains(modes, "ReadOnlyMany"):
		case slices.Contains(modes, "ReadWriteOncePod"):
			all = append(all, lint.Finding{
				Severity: lint.Error,
				What:     fmt.Sprintf("the extra pod cannot start: volume claim %s is ReadWriteOncePod and the old pod holds it", claim),
				Fix:      "use a claim that several pods may mount, or a StatefulSet with a claim for each pod",
			}.At(claim))
		case slices.Contains(modes, "ReadWriteOnce"):
			all = append(all, lint.Finding{
				Severity: lint.Warning,
				What:     fmt.Sprintf("the extra pod starts only on the old pod's node: volume claim %s is ReadWriteOnce", claim),
				Fix:      "use a claim with ReadWriteMany, a StatefulSet with a claim for each pod, or a required pod affinity to the old pod's node",
			}.At(claim))
		}
	}
	for _, term := range one.Pod.Get("affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution").Items() {
		perVersion := slices.Contains(term.Get("matchLabelKeys").Strings(), "pod-template-hash")
		if term.Get("topologyKey").String() == "kubernetes.io/hostname" && !perVersion && lint.Selects(term.Get("labelSelector"), one.Labels()) {
			all = append(all, lint.Finding{
				Severity: lint.Info,
				What:     fmt.Sprintf("the extra pod needs a node without any of these pods: with %d nodes for %d replicas it never starts", w.Replicas(one), w.Replicas(one)),
				Fix:      "prefer instead of require, or keep versions apart only from themselves: matchLabelKeys: [pod-template-hash]",
			}.At(term))
		}
	}
	for _, c := range one.Containers {
		for _, port := range c.Get("ports").Items() {
			if host := port.Get("hostPort"); host.Int(0) > 0 {
				all = append(all, lint.Finding{
					Severity: lint.Warning,
					What:     fmt.Sprintf("the extra pod needs a node where nobody has port %s: the old pod has it on its own", host),
					Fix:      "leave hostPort out and use a Service, or keep one node more than replicas",
				}.At(host))
			}
		}
	}
	return all
}

func accessModes(w *lint.World, one *lint.Workload, claim string) ([]string, bool) {
	for _, o := range w.Objects {
		if claim != "" && o.Is("v1", "PersistentVolumeClaim") && o.Name == claim && o.Namespace == one.Namespace {
			return o.Get("spec", "accessModes").Strings(), true
		}
	}
	return nil, false
}

// unseen names the claims that were not among the files.
func unseen(w *lint.World) string {
	var names []string
	for _, one := range w.Workloads {
		for _, volume := range one.Pod.Get("volumes").Items() {
			claim := volume.Get("persistentVolumeClaim", "claimName").String()
			if _, found := accessModes(w, one, claim); claim != "" && !found && one.Kind == "Deployment" {
				names = append(names, claim)
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "whether an extra pod can mount the volume claims " + strings.Join(names, ", ") + ", which are not among the files"
}
