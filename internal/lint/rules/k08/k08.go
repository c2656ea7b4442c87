// Package k08 is the rule about proxies beside the service: they are there before it and go after it.
package k08

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gapless.dev/gapless/internal/lint"
)

// Rule is K8.
var Rule = lint.Rule{
	ID:    "K8",
	Title: "proxies are native sidecars, and nothing stops them early",
	Why: "All ordinary containers of a pod get SIGTERM at the same moment. A proxy that ends first takes the way to the database, or the way in, from requests that are " +
		"still being answered. A native sidecar ends after the service. Its preStop hook, though, runs at once, like everybody's.",
	Source: "https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/",
	Fix:    lint.Explain,
	Limits: "Proxies are known by the names of common images; what a mesh injects later is not in the manifest.",
	Check:  check,
}

func check(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, one := range w.Workloads {
		for _, c := range one.Containers {
			if c.Companion != "" && !strings.HasSuffix(c.Companion, " agent") && len(one.Containers) > 1 {
				all = append(all, lint.Finding{
					Severity: lint.Warning,
					What:     fmt.Sprintf("%s (container %s) is an ordinary container: it is stopped at the same moment as the service", c.Companion, c.Name),
					Fix:      "move it to initContainers with restartPolicy: Always and a startupProbe (Kubernetes 1.29 and later)",
				}.At(c.Value))
			}
		}
		for _, c := range slices.Concat(one.Sidecars, companions(one)) {
			hook := c.Get("lifecycle", "preStop")
			if text := hook.YAML(); stops.MatchString(text) {
				all = append(all, lint.Finding{
					Severity: lint.Error,
					What:     fmt.Sprintf("the preStop hook of container %s stops it at once, while the service still answers", c.Name),
					Fix:      "leave the hook out; a native sidecar is stopped when the service has ended",
				}.At(hook))
			}
		}
	}
	return all
}

// stops are the usual ways to end a proxy.
var stops = regexp.MustCompile(`(?i)\b(p?kill|killall|quitquitquit|shutdown|exit|sigterm|stop)\b`)

func companions(one *lint.Workload) []lint.Container {
	return slices.DeleteFunc(slices.Clone(one.Containers), func(c lint.Container) bool { return c.Companion == "" })
}
