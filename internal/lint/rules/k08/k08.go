// Package k08 is the rule about proxies beside the service: they are there before it and go after it.
package k08

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
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
			slept, stopped := stop(hook)
			drained, answered := answers(w, one)
			if !stopped || slept >= answered {
				continue
			}
			f := lint.Finding{
				Severity: lint.Error,
				What:     fmt.Sprintf("the preStop hook of container %s stops it at once, while the service still answers", c.Name),
				Fix:      "leave the hook out; a native sidecar is stopped when the service has ended",
			}
			if slept > 0 {
				f.What = fmt.Sprintf("the preStop hook of container %s stops it after %s, and the service may answer for %s", c.Name, lint.Short(slept), lint.Short(answered))
			}
			if slept >= drained {
				f.Severity = lint.Warning
			}
			all = append(all, f.At(hook))
		}
	}
	return all
}

var (
	// stops are the usual ways to end a proxy; an exit that is a command itself ends only the hook.
	stops = regexp.MustCompile(`(?i)\b(p?kill|killall|quitquitquit|shutdown|exit|sigterm|stop)\b`)
	// harmless are the commands whose words stop nothing.
	harmless = []string{"exit", "echo", "printf", "return", "#", ":"}
	// waits are the commands that wait for what cannot be seen.
	waits      = []string{"sleep", "while", "until", "wait"}
	separators = regexp.MustCompile(`\n|;|&&?|\|\|?`)
)

// stop reports whether a hook ends its container, and how long it sleeps before. One that waits for something else stops nothing at once.
func stop(hook manifest.Value) (slept time.Duration, stopped bool) {
	if stops.MatchString(hook.Get("httpGet", "path").String()) {
		return 0, true
	}
	command := hook.Get("exec", "command").Strings()
	parts := []string{strings.Join(command, " ")}
	if script, _, shell := lint.Shell(command); shell {
		parts = separators.Split(script, -1)
	}
	for _, part := range parts {
		words := append(strings.Fields(part), "")
		d, sleeps := lint.Sleep(part)
		switch {
		case sleeps:
			slept += d
		case slices.Contains(waits, words[0]) || slices.Contains(words, "sleep"):
			return 0, false
		case stops.MatchString(part) && !slices.Contains(harmless, words[0]):
			return slept, true
		}
	}
	return 0, false
}

// answers is how long the service takes new requests after the order to stop, and how long until the last one is answered.
func answers(w *lint.World, one *lint.Workload) (drained, answered time.Duration) {
	for _, c := range one.Containers {
		if c.Companion == "" || len(one.Containers) == 1 {
			b := w.BudgetOf(one, c)
			drained = max(drained, b.PreStop+b.InProcess())
			answered = max(answered, b.PreStop+b.InProcess()+b.InFlight)
		}
	}
	return drained, answered
}

func companions(one *lint.Workload) []lint.Container {
	return slices.DeleteFunc(slices.Clone(one.Containers), func(c lint.Container) bool { return c.Companion == "" })
}
