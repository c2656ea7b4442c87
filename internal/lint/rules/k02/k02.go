// Package k02 is the rule about the grace period: everything that happens between the order to stop and the kill fits into it.
package k02

import (
	"fmt"
	"slices"
	"time"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
)

// Rule is K2.
var Rule = lint.Rule{
	ID:    "K2",
	Title: "the grace period covers preStop, drain, requests in flight, closing and a margin",
	Why: "terminationGracePeriodSeconds runs from the order to stop, preStop included. What is not done when it is over is killed, " +
		"and the requests in flight with it.",
	Source: "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination",
	Fix:    lint.Auto,
	Asks: []lint.Question{
		{Key: "K2.inflight", Text: "how long the slowest request may take (default 20s, or at least 18s after a preStop sleep)", Check: lint.IsDuration},
		askPreStop,
	},
	Limits: "A service that waits by itself cannot be seen unless it says so by GAPLESS_DRAIN. What an exec or httpGet hook takes is read only as far as it sleeps.",
	Check:  check,
}

var askPreStop = lint.Question{Key: "K2.prestop", Text: "how long the pod goes on serving before it is told to stop, for a service that does not drain by itself: 5s", Check: lint.IsDuration}

func check(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, one := range w.Workloads {
		all = append(all, short(w, one)...)
		for _, c := range slices.Concat(one.Containers, one.Sidecars) {
			all = append(all, untold(w, one, c)...)
		}
		for _, c := range w.Serves(one) {
			all = append(all, unseen(w, one, c)...)
		}
	}
	return all
}

// short compares the one grace period with the container that needs most.
func short(w *lint.World, one *lint.Workload) []lint.Finding {
	b, name := widest(w, one)
	if name == "" || b.Fits() {
		return nil
	}
	f := lint.Finding{
		Severity: lint.Warning,
		What:     fmt.Sprintf("the grace period is %s and container %s needs %s: %s", lint.Short(b.Grace), name, lint.Short(b.Need()), b),
		Fix:      "terminationGracePeriodSeconds: " + lint.Seconds(b.Need()),
	}
	switch left := b.Left(); {
	case left < time.Second:
		f.Severity = lint.Error
		f.What += "; nothing is left for requests in flight"
	default:
		f.What += fmt.Sprintf("; %s is left for requests in flight", lint.Short(left))
	}
	if b.HookUnknown {
		f.What += "; the hook may take longer"
	}
	at := one.Pod.Get("terminationGracePeriodSeconds")
	f.Edits = []manifest.Edit{at.Set(lint.Seconds(b.Need()))}
	return []lint.Finding{f.At(at)}
}

func widest(w *lint.World, one *lint.Workload) (widest lint.Budget, name string) {
	for _, c := range planned(w, one) {
		if b := w.BudgetOf(one, c); name == "" || b.Need() > widest.Need() {
			widest, name = b, c.Name
		}
	}
	return widest, name
}

// planned are the containers whose end takes time: those that serve, and workers and sidecars that say by GAPLESS_DRAIN that they drain.
func planned(w *lint.World, one *lint.Workload) []lint.Container {
	all := w.Serves(one)
	for _, c := range slices.Concat(one.Containers, one.Sidecars) {
		serves := slices.ContainsFunc(all, func(s lint.Container) bool { return s.Name == c.Name })
		if _, drains := c.EnvDuration(lint.EnvDrain); drains && !serves {
			all = append(all, c)
		}
	}
	return all
}

// untold compares what the service is told by its environment with what the pod really gives it.
func untold(w *lint.World, one *lint.Workload, c lint.Container) []lint.Finding {
	b := w.BudgetOf(one, c)
	if wide, name := widest(w, one); name != "" && !wide.Fits() {
		b.Grace = wide.Need() // what the grace period will be
	}
	var all []lint.Finding
	tell := func(name string, real time.Duration, absent string) {
		at := c.Env(name)
		told, ok := c.EnvDuration(name)
		value := manifest.Quote(lint.Seconds(real) + "s")
		switch {
		case ok && told != real:
			f := lint.Finding{Severity: lint.Warning, Fix: name + ": " + value, Edits: []manifest.Edit{at.Set(value)}}
			f.What = fmt.Sprintf("the service is told %s=%s, and the pod has %s", name, at, lint.Short(real))
			f.Why = "The service plans its end with this value. Told too much, it is killed before it is done; told too little, it cuts requests that had time."
			all = append(all, f.At(at))
		case !at.Exists() && absent != "":
			env := c.Get("env")
			f := lint.Finding{Severity: lint.Warning, Fix: "set " + name + " to " + value, Edits: []manifest.Edit{env.Append("name: " + name + "\nvalue: " + value)}}
			f.What = fmt.Sprintf("the service is not told %s and takes %s, and the pod has %s", name, absent, lint.Short(real))
			f.Why = "A pod cannot see its own grace period or hook: the service plans its end with what the environment says."
			all = append(all, f.At(env))
		}
	}
	speaks := c.Env(lint.EnvGrace).Exists() || c.Env(lint.EnvDrain).Exists()
	grace, preStop := "", ""
	if speaks && b.Grace != lint.DefaultGrace && !declared(c, lint.EnvGrace) {
		grace = "30s"
	}
	if speaks && b.PreStop > 0 && !declared(c, lint.EnvPreStop) {
		preStop = "0s"
	}
	tell(lint.EnvGrace, b.Grace, grace)
	if !b.HookUnknown {
		tell(lint.EnvPreStop, b.PreStop, preStop)
	}
	return all
}

// declared reports whether a variable comes from somewhere, be it not from a literal.
func declared(c lint.Container, name string) bool {
	for _, e := range c.Get("env").Items() {
		if e.Get("name").String() == name {
			return true
		}
	}
	return c.Get("envFrom").Exists()
}

// unseen: the commonest cause of loss of all, and it cannot be told from here whether the service takes care of it.
func unseen(w *lint.World, one *lint.Workload, c lint.Container) []lint.Finding {
	b, at := w.BudgetOf(one, c), c.Get("lifecycle", "preStop")
	if at.Exists() || b.DrainSet || declared(c, lint.EnvDrain) || w.Checked.Passed("Z5") {
		return nil
	}
	f := lint.Finding{
		Severity: lint.Info,
		What:     fmt.Sprintf("nothing here delays the stop of container %s", c.Name),
		Why: "A pod is told to stop at the same moment as the network is told to send it nothing more, and the network takes a second or more. " +
			"A service that stops at once refuses the requests of that time.",
		Fix: "run gapless check; if the service does not drain by itself, add preStop: {sleep: {seconds: 5}}",
		Ask: &askPreStop,
	}
	if w.Checked.Failed("Z1") || w.Checked.Failed("Z5") {
		f.Severity = lint.Error
		f.What += ", and gapless check saw that the service stops serving as soon as it is told to"
		f.Fix = "have the service drain by itself (kit, or gapless wrap), and check it again; or add preStop: {sleep: {seconds: 5}}, for new connections only"
	}
	if d, ok := w.Answers.Duration(one.Object, askPreStop.Key); ok && d >= time.Second {
		f.Edits = w.Sleeping(one, c, d, at.Set("sleep:\n  seconds: "+lint.Seconds(d)+"\n"))
	}
	return []lint.Finding{f.At(at)}
}
