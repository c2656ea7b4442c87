// Package k09 is the rule about cloud load balancers that send straight to pods.
package k09

import (
	"fmt"
	"strings"
	"time"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
)

// Rule is K9.
var Rule = lint.Rule{
	ID:    "K9",
	Title: "behind a load balancer with pods as targets: a readiness gate, minReadySeconds and a long drain",
	Why: "The load balancer learns of pods much later than the cluster does. Without a gate a rollout takes the old pods away before the new ones are registered; " +
		"and a pod that stops goes on getting requests for a minute or two.",
	Source: "https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/pod_readiness_gate/",
	Fix:    lint.Ask,
	Asks:   []lint.Question{askReady, askDrain},
	Limits: "Targets are known by the annotations of AWS and Google. A namespace's label counts only if the namespace is among the files.",
	Unseen: unseen,
	Check:  check,
}

var (
	askReady = lint.Question{Key: "K9.minReady", Text: "how long the load balancer takes to register a pod: 30s", Check: lint.IsDuration}
	askDrain = lint.Question{Key: "K9.drain", Text: "how long the load balancer goes on sending to a pod that was taken out, at least 60s: 90s", Check: isDrain}
)

const (
	injectGate = "elbv2.k8s.aws/pod-readiness-gate-inject"
	// least is the shortest drain that was seen to be enough.
	least = 60 * time.Second
)

// isDrain takes drains that are long enough.
func isDrain(answer string) error {
	if err := lint.IsDuration(answer); err != nil {
		return err
	}
	if d, _ := lint.Duration(answer); d < least {
		return fmt.Errorf("%q is too short: a load balancer goes on sending for %s at least", answer, lint.Short(least))
	}
	return nil
}

func check(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, one := range w.Workloads {
		via, cloud := balancer(w, one)
		if via == nil {
			continue
		}
		if ready := one.Spec.Get("minReadySeconds"); ready.Int(0) <= 0 && one.Rolled() {
			f := lint.Finding{
				Severity: lint.Warning,
				What:     fmt.Sprintf("%s sends straight to the pods, and a new pod counts as available at once: minReadySeconds is 0", via.ID()),
				Fix:      "set minReadySeconds to the time that registering a pod takes",
				Ask:      &askReady,
			}
			if d, ok := w.Answers.Duration(one.Object, askReady.Key); ok && d >= time.Second {
				f.Edits = []manifest.Edit{ready.SetAfter("replicas", lint.Seconds(d))}
			}
			all = append(all, f.At(ready))
		}
		if cloud == "aws" && !gated(one) {
			all = append(all, gate(w, one, via)...)
		}
		for _, c := range w.Serves(one) {
			all = append(all, drain(w, one, c, via)...)
		}
	}
	return all
}

// gate: the controller writes the gate into pods of namespaces with its label.
func gate(w *lint.World, one *lint.Workload, via *manifest.Object) []lint.Finding {
	namespace := namespaceOf(w, one)
	if namespace == nil {
		return nil // unseen says so
	}
	label := namespace.Get("metadata", "labels", injectGate)
	if label.String() == "enabled" {
		return nil
	}
	return []lint.Finding{lint.Finding{
		Severity: lint.Warning,
		What:     fmt.Sprintf("pods behind %s get no readiness gate: their namespace does not ask for it", via.ID()),
		Fix:      "label the namespace " + injectGate + ": enabled",
		Edits:    []manifest.Edit{label.Set("enabled")},
	}.At(label)}
}

func gated(one *lint.Workload) bool {
	for _, g := range one.Pod.Get("readinessGates").Items() {
		if strings.HasPrefix(g.Get("conditionType").String(), "target-health.") {
			return true
		}
	}
	return false
}

func namespaceOf(w *lint.World, one *lint.Workload) *manifest.Object {
	for _, o := range w.Objects {
		if o.Is("v1", "Namespace") && o.Name == one.Namespace {
			return o
		}
	}
	return nil
}

func drain(w *lint.World, one *lint.Workload, c lint.Container, via *manifest.Object) []lint.Finding {
	b := w.BudgetOf(one, c)
	have := b.PreStop + b.InProcess()
	if have >= least || b.HookUnknown {
		return nil
	}
	f := lint.Finding{
		Severity: lint.Warning,
		What:     fmt.Sprintf("container %s goes on serving for %s after the order to stop, and %s may send for a minute or two", c.Name, lint.Short(have), via.ID()),
		Fix:      "drain as long as the load balancer takes, 60 to 120 s: GAPLESS_DRAIN, or a preStop sleep; the grace period grows with it (K2)",
		Ask:      &askDrain,
	}
	hook, env := c.Get("lifecycle", "preStop"), c.Env(lint.EnvDrain)
	d, ok := w.Answers.Duration(one.Object, askDrain.Key)
	switch {
	case !ok:
	case env.Exists():
		f.Edits = []manifest.Edit{env.Set(manifest.Quote(lint.Seconds(d) + "s"))}
	case !hook.Exists() || hook.Get("sleep").Exists():
		f.Edits = w.Sleeping(one, c, d, hook.Get("sleep", "seconds").Set(lint.Seconds(d)))
	}
	at := hook
	if env.Exists() {
		at = env
	}
	return []lint.Finding{f.At(at)}
}

// balancer is the Service or Ingress by which a cloud's load balancer sends straight to the pods, and whose it is.
func balancer(w *lint.World, one *lint.Workload) (via *manifest.Object, cloud string) {
	for _, s := range w.Services(one) {
		a := s.Get("metadata", "annotations").Pairs()
		if s.Get("spec", "type").String() == "LoadBalancer" &&
			(a["service.beta.kubernetes.io/aws-load-balancer-nlb-target-type"] == "ip" || a["service.beta.kubernetes.io/aws-load-balancer-type"] == "nlb-ip") {
			return s, "aws"
		}
		if neg := a["cloud.google.com/neg"]; strings.Contains(neg, `"ingress": true`) || strings.Contains(neg, `"ingress":true`) || strings.Contains(neg, "exposed_ports") {
			return s, "google"
		}
		for _, o := range w.Objects {
			if o.Is("networking.k8s.io/", "Ingress") && o.Namespace == one.Namespace &&
				o.Get("metadata", "annotations", "alb.ingress.kubernetes.io/target-type").String() == "ip" && routes(o, s.Name) {
				return o, "aws"
			}
		}
	}
	return nil, ""
}

func routes(ingress *manifest.Object, service string) bool {
	if ingress.Get("spec", "defaultBackend", "service", "name").String() == service {
		return true
	}
	for _, rule := range ingress.Get("spec", "rules").Items() {
		for _, p := range rule.Get("http", "paths").Items() {
			if p.Get("backend", "service", "name").String() == service {
				return true
			}
		}
	}
	return false
}

func unseen(w *lint.World) string {
	for _, one := range w.Workloads {
		if via, cloud := balancer(w, one); via != nil && cloud == "aws" && !gated(one) && namespaceOf(w, one) == nil {
			return "whether the namespace of " + one.ID() + " has the label " + injectGate + ", which gives its pods a readiness gate"
		}
	}
	return ""
}
