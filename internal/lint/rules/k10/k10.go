// Package k10 is the rule about pods that nobody else can stand in for: they stay ready while they drain.
package k10

import (
	"fmt"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
)

// Rule is K10.
var Rule = lint.Rule{
	ID:    "K10",
	Title: "with externalTrafficPolicy Local or one replica, the service stays ready while it drains",
	Why: "When no other pod can take a request (here: on this node, or at all), the network goes on using the pod that stops, as long as it says that it is ready. " +
		"A service that turns unready on SIGTERM switches this off. Then the load balancer's requests to this node are dropped until it notices.",
	Source: "https://kubernetes.io/docs/reference/networking/virtual-ips/#traffic-to-terminating-endpoints",
	Fix:    lint.Ask,
	Asks:   []lint.Question{ask},
	Limits: "What the service does with its readiness is in its code. Say it by the pod annotation " + Annotation + ".",
	Check:  check,
}

// Annotation on pods declares what readiness does after SIGTERM: ServeTerminating or Flip. It changes nothing; it is what the service's
// own setting is, written where lint can read it.
const Annotation = "gapless.dev/readiness"

var ask = lint.Question{Key: "K10.readiness", Text: "what does the service's readiness do after SIGTERM? ServeTerminating (stays) or Flip (turns 503)", Check: lint.OneOf("ServeTerminating", "Flip")}

func check(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, one := range w.Workloads {
		why, severity := alone(w, one)
		if why == "" || covered(w, one) {
			continue
		}
		declared := one.Meta.Get("annotations", Annotation)
		f := lint.Finding{Severity: severity}
		switch declared.String() {
		case "ServeTerminating":
			continue
		case "Flip":
			f.What = why + ", and readiness turns off on SIGTERM (" + Annotation + ": Flip)"
			f.Fix = "let the service stay ready until it stops (kit: kit.ServeTerminating), or sleep through the drain in preStop"
		default:
			f.What = why + ", and what readiness does on SIGTERM is not said"
			f.Fix = "let the service stay ready until it stops, and say so by the pod annotation " + Annotation + ": ServeTerminating; or sleep through the drain in preStop"
			f.Ask = &ask
			if answer := w.Given(one.Object, ask.Key); answer == "ServeTerminating" || answer == "Flip" {
				f.Edits = []manifest.Edit{declared.Set(answer)}
			}
		}
		all = append(all, f.At(declared))
	}
	return all
}

// alone says why nobody can stand in for a pod; empty if somebody can.
func alone(w *lint.World, one *lint.Workload) (string, lint.Severity) {
	services := w.Services(one)
	for _, s := range services {
		for _, policy := range []string{"externalTrafficPolicy", "internalTrafficPolicy"} {
			if s.Get("spec", policy).String() == "Local" {
				return fmt.Sprintf("%s sends only to pods on the node that a request arrives at (%s: Local)", s.ID(), policy), lint.Warning
			}
		}
	}
	if len(services) > 0 && w.Replicas(one) == 1 {
		return "there is one replica", lint.Info
	}
	return "", ""
}

// covered: while a preStop sleep lasts the service knows of nothing and stays ready.
func covered(w *lint.World, one *lint.Workload) bool {
	for _, c := range w.Serves(one) {
		if b := w.BudgetOf(one, c); b.PreStop < b.Drain {
			return false
		}
	}
	return true
}
