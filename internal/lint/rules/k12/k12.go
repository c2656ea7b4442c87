// Package k12 is the rule about liveness: it restarts what is stuck, and nothing else.
package k12

import (
	"fmt"
	"regexp"
	"strings"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
)

// Rule is K12.
var Rule = lint.Rule{
	ID:    "K12",
	Title: "liveness is patient and depends on nothing",
	Why: "A failed liveness probe kills the container with its requests in flight. One slow answer under load, or a database that is away for a moment, " +
		"must not be enough: else every pod is restarted when it is needed most.",
	Source: "https://kubernetes.io/docs/concepts/workloads/pods/probes/#liveness-probe",
	Fix:    lint.Auto,
	Limits: "What the endpoint looks at is guessed by its path; gapless check sees what it does under load.",
	Check:  check,
}

const tries = 3

// depends are the words in a path or a command that speak of something outside the process.
var depends = regexp.MustCompile(`(?i)(?:^|[/_.\s-])(ready|readyz|readiness|deep|full|deps?|dependenc(?:y|ies)|db|database|postgres(?:ql)?|pg_isready|mysql|mysqladmin|mongo|redis|redis-cli|kafka|upstreams?)(?:[/_.\s?-]|$)`)

func check(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, one := range w.Workloads {
		for _, c := range one.Containers {
			live := c.Get("livenessProbe")
			if !live.Exists() {
				continue
			}
			if at := live.Get("failureThreshold"); at.Int(tries) < tries {
				all = append(all, lint.Finding{
					Severity: lint.Warning,
					What:     fmt.Sprintf("container %s is killed at failure %d of its liveness probe", c.Name, at.Int(tries)),
					Fix:      fmt.Sprintf("failureThreshold: %d", tries),
					Edits:    []manifest.Edit{at.Set(fmt.Sprint(tries))},
				}.At(at))
			}
			if at := live.Get("timeoutSeconds"); at.Exists() && at.Int(1) < 1 {
				all = append(all, lint.Finding{
					Severity: lint.Warning,
					What:     fmt.Sprintf("the liveness probe of container %s waits %s s for an answer", c.Name, at),
					Fix:      "timeoutSeconds: 1, or more",
					Edits:    []manifest.Edit{at.Set("1")},
				}.At(at))
			}
			all = append(all, dependent(c, live)...)
		}
	}
	return all
}

func dependent(c lint.Container, live manifest.Value) []lint.Finding {
	if c.Companion == "" && c.SameHandler(c.Get("readinessProbe"), live) {
		return nil // K1 says it
	}
	for _, at := range []manifest.Value{live.Get("httpGet", "path"), live.Get("exec", "command")} {
		text := at.String() + strings.Join(at.Strings(), " ")
		if m := depends.FindStringSubmatch(text); m != nil {
			return []lint.Finding{lint.Finding{
				Severity: lint.Warning,
				What:     fmt.Sprintf("the liveness probe of container %s asks %q, which sounds like more than the process itself (%s)", c.Name, text, m[1]),
				Fix:      "ask an endpoint that answers 200 as long as the process runs; let readiness, or the service itself, look at dependencies",
			}.At(at)}
		}
	}
	return nil
}
