// Package k03 is the rule about slow starts: enough time to start, and less than the rollout waits.
package k03

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
)

// Rule is K3.
var Rule = lint.Rule{
	ID:    "K3",
	Title: "the startup budget is twice the measured start, and less than progressDeadlineSeconds",
	Why: "A container that is not up when its startup (or, without one, its liveness) probe has used up its tries is killed and starts from the beginning: under load, on a " +
		"busy node, for ever. A deadline below the budget calls a rollout failed that would have come up.",
	Source: "https://kubernetes.io/docs/concepts/workloads/pods/probes/#startup-probe",
	Fix:    lint.Ask,
	Asks:   []lint.Question{askStart, askDeadline},
	Limits: "The time of the start comes from --set K3.start or from a report of gapless check; without it only the deadline is judged.",
	Check:  check,
}

var (
	askStart    = lint.Question{Key: "K3.start", Text: "how long the service takes to start, measured: 40s", Check: lint.IsDuration}
	askDeadline = lint.Question{Key: "K3.deadline", Text: "how long a rollout may stand still before it counts as failed, above the startup budget: 15m", Check: lint.IsDuration}
)

func check(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, one := range w.Workloads {
		for _, c := range one.Containers {
			if c.Companion == "" {
				all = append(all, tooShort(w, one, c)...)
				all = append(all, tooLong(w, one, c)...)
			}
		}
	}
	return all
}

// budget is the time that a probe gives a start.
func budget(probe manifest.Value) time.Duration {
	tries := max(1, probe.Get("periodSeconds").Int(10)) * max(1, probe.Get("failureThreshold").Int(3))
	return time.Duration(max(0, probe.Get("initialDelaySeconds").Int(0))+tries) * time.Second
}

func tooShort(w *lint.World, one *lint.Workload, c lint.Container) []lint.Finding {
	startup, live := c.Get("startupProbe"), c.Get("livenessProbe")
	start, how, known := w.Start(one.Object)
	known = known && serves(w, one, c)
	switch {
	case !startup.Exists() && !live.Exists():
		return nil // nothing kills a slow start
	case !startup.Exists() && !known:
		return []lint.Finding{lint.Finding{
			Severity: lint.Info,
			What:     fmt.Sprintf("the liveness probe gives container %s %s to start, and how long it takes is not known", c.Name, lint.Short(budget(live))),
			Fix:      "measure the start with gapless check and give its report, or add a startupProbe of twice that time",
			Ask:      &askStart,
		}.At(startup)}
	case !known:
		return nil
	}
	probe, name := startup, "startup"
	if !startup.Exists() {
		probe, name = live, "liveness"
	}
	have, want := budget(probe), 2*start
	if have >= want {
		return nil
	}
	f := lint.Finding{
		Severity: lint.Warning,
		What:     fmt.Sprintf("the %s probe gives container %s %s to start, and it takes %s (%s)", name, c.Name, lint.Short(have), lint.Short(start), how),
		Ask:      &askStart,
	}
	if have < start {
		f.Severity = lint.Error
	}
	period := max(1, probe.Get("periodSeconds").Int(10))
	if startup.Exists() {
		delay := time.Duration(max(0, probe.Get("initialDelaySeconds").Int(0))) * time.Second
		tries := ceil(want-delay, time.Duration(period)*time.Second)
		f.Fix = fmt.Sprintf("startupProbe.failureThreshold: %d, which gives twice the start", tries)
		f.Edits = []manifest.Edit{startup.Get("failureThreshold").Set(strconv.Itoa(tries))}
		return []lint.Finding{f.At(startup.Get("failureThreshold"))}
	}
	if name, handler := lint.HandlerOf(live); name != "" {
		const every = 2 // seconds: a fast start is noticed soon
		tries := ceil(want, every*time.Second)
		f.Fix = fmt.Sprintf("add a startupProbe like the livenessProbe with periodSeconds %d and failureThreshold %d", every, tries)
		f.Edits = []manifest.Edit{startup.SetAfter("livenessProbe", fmt.Sprintf("%s:\n  %s\nperiodSeconds: %d\nfailureThreshold: %d\n",
			name, strings.ReplaceAll(strings.TrimSpace(handler.YAML()), "\n", "\n  "), every, tries))}
	}
	return []lint.Finding{f.At(startup)}
}

// serves: a start that was measured is that of the service, not of what runs beside it.
func serves(w *lint.World, one *lint.Workload, c lint.Container) bool {
	return len(one.Containers) == 1 || slices.ContainsFunc(w.Serves(one), func(s lint.Container) bool { return s.Name == c.Name })
}

func tooLong(w *lint.World, one *lint.Workload, c lint.Container) []lint.Finding {
	startup, at := c.Get("startupProbe"), one.Spec.Get("progressDeadlineSeconds")
	if one.Kind != "Deployment" || !startup.Exists() {
		return nil
	}
	have, deadline := budget(startup), time.Duration(at.Int(600))*time.Second
	if have < deadline {
		return nil
	}
	f := lint.Finding{
		Severity: lint.Warning,
		What:     fmt.Sprintf("the startup probe gives container %s %s, and the rollout counts as failed after %s", c.Name, lint.Short(have), lint.Short(deadline)),
		Fix:      "raise progressDeadlineSeconds above " + lint.Seconds(have) + ", with time to schedule the pod and pull its image",
		Ask:      &askDeadline,
	}
	switch d, ok := w.Answers.Duration(one.Object, askDeadline.Key); {
	case ok && d > have:
		f.Edits = []manifest.Edit{at.SetAfter("replicas", lint.Seconds(d))}
	case ok:
		f.Severity = lint.Error
		f.What += fmt.Sprintf("; %s=%s was given, which is not above %s", askDeadline.Key, lint.Short(d), lint.Short(have))
	}
	return []lint.Finding{f.At(at)}
}

func ceil(d, by time.Duration) int { return int((d + by - 1) / by) }
