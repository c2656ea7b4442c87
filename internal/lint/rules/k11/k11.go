// Package k11 is the rule about preStop hooks: they need nothing from the image.
package k11

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gapless.dev/gapless/internal/lint"
)

// Rule is K11.
var Rule = lint.Rule{
	ID:    "K11",
	Title: "preStop sleeps natively or asks over HTTP, and needs no shell",
	Why: "A hook that cannot be run, because the image has no shell and no sleep, is an event that nobody reads: the pod is told to stop at once. " +
		"The native sleep is done by the kubelet (Kubernetes 1.30 and later) and cannot fail.",
	Source: "https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/#hook-handler-implementations",
	Fix:    lint.Auto,
	Limits: "Whether the image has what an exec hook runs cannot be seen.",
	Check:  check,
}

func check(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, one := range w.Workloads {
		for _, c := range slices.Concat(one.Containers, one.Sidecars) {
			exec := c.Get("lifecycle", "preStop", "exec")
			if !exec.Exists() {
				continue
			}
			command := exec.Get("command").Strings()
			if d, only := lint.HookSleep(c.Get("lifecycle", "preStop")); only && d >= time.Second {
				all = append(all, sleeps(w, one, c, d).At(exec))
				continue
			}
			_, _, shell := lint.Shell(command)
			file, reads := lint.ShellFile(command)
			if what := ""; shell || reads {
				if reads {
					what = fmt.Sprintf(", %s, and what it does is not seen", file)
				}
				all = append(all, lint.Finding{
					Severity: lint.Warning,
					What:     fmt.Sprintf("the preStop hook of container %s is a shell script%s", c.Name, what),
					Fix:      "use the native sleep to wait, httpGet to tell the service, and let the service do the rest on SIGTERM",
				}.At(exec))
			}
		}
	}
	return all
}

func sleeps(w *lint.World, one *lint.Workload, c lint.Container, d time.Duration) lint.Finding {
	exec := c.Get("lifecycle", "preStop", "exec")
	f := lint.Finding{
		Severity: lint.Warning,
		What:     fmt.Sprintf("the preStop hook of container %s sleeps by running %q in the image", c.Name, strings.Join(exec.Get("command").Strings(), " ")),
		Fix:      "sleep: {seconds: " + lint.Seconds(d) + "}",
		Edits:    w.Sleeping(one, c, d, exec.Replace("sleep", "seconds: "+lint.Seconds(d)+"\n")),
	}
	if grace := w.BudgetOf(one, c).Grace; d > grace {
		f.Fix += fmt.Sprintf(", and a longer terminationGracePeriodSeconds before it: a native sleep above it (%s) is refused by Kubernetes", lint.Short(grace))
	}
	return f
}
