// Package k01 is the rule about readiness: there, its own, and fast enough.
package k01

import (
	"fmt"
	"strings"
	"time"

	"gapless.dev/gapless/internal/lint"
	"gapless.dev/gapless/internal/lint/manifest"
)

// Rule is K1.
var Rule = lint.Rule{
	ID:    "K1",
	Title: "readiness is asked for, is not the same as liveness, and fails faster than the drain ends",
	Why: "Traffic goes to a pod as soon as it counts as ready, and without a probe that is the moment the process exists. A node that shuts down, an evicted pod and a " +
		"container that restarts in place leave the Service only by a failing readiness probe, so it has to fail within the drain.",
	Source: "https://kubernetes.io/docs/concepts/workloads/pods/probes/",
	Fix:    lint.Ask,
	Asks:   []lint.Question{ask},
	Limits: "Whether the endpoint tells the truth is for a live test: gapless check.",
	Check:  check,
}

var ask = lint.Question{Key: "K1.ready", Text: "path of the readiness endpoint, with its port if it has its own: /ready or /ready:8081", Check: lint.IsEndpoint}

func check(w *lint.World) []lint.Finding {
	var all []lint.Finding
	for _, one := range w.Workloads {
		for _, c := range w.Serves(one) {
			probe := c.Get("readinessProbe")
			if !probe.Exists() {
				all = append(all, missing(w, one, c).At(probe))
				continue
			}
			if live := c.Get("livenessProbe"); live.Exists() && c.SameHandler(probe, live) {
				all = append(all, same(w, one, c).At(probe))
			}
			if slow, ok := slow(w, one, c); ok {
				all = append(all, slow.At(probe.Get("periodSeconds")))
			}
		}
	}
	return all
}

func missing(w *lint.World, one *lint.Workload, c lint.Container) lint.Finding {
	f := lint.Finding{
		Severity: lint.Error,
		What:     fmt.Sprintf("container %s takes requests and has no readinessProbe", c.Name),
		Fix:      "add a readinessProbe with periodSeconds 2 and failureThreshold 2 on an endpoint that fails until requests can be served",
		Ask:      &ask,
	}
	if path, port, ok := endpoint(w, one, c); ok {
		f.Edits = []manifest.Edit{c.Get("readinessProbe").Set(fmt.Sprintf(
			"httpGet:\n  path: %s\n  port: %s\nperiodSeconds: 2\nfailureThreshold: 2\n", path, port))}
	}
	return f
}

// endpoint is the answer to K1.ready; the port is the container's first if the answer names none.
func endpoint(w *lint.World, one *lint.Workload, c lint.Container) (path, port string, ok bool) {
	path, port, _ = strings.Cut(w.Given(one.Object, ask.Key), ":")
	if port == "" {
		for _, p := range c.Get("ports").Items()[:min(1, len(c.Get("ports").Items()))] {
			port = p.Get("name").String()
			if port == "" {
				port = p.Get("containerPort").String()
			}
		}
	}
	return path, port, strings.HasPrefix(path, "/") && port != ""
}

func same(w *lint.World, one *lint.Workload, c lint.Container) lint.Finding {
	f := lint.Finding{
		Severity: lint.Warning,
		What:     "readinessProbe and livenessProbe ask the same question",
		Why: "Not ready means: no new requests now. Not alive means: kill it. With one answer for both, a pod that drains, or waits for a database, " +
			"is restarted with requests in flight.",
		Fix: "give readiness an endpoint of its own; liveness answers 200 as long as the process runs, whatever it depends on",
		Ask: &ask,
	}
	if c.Get("readinessProbe", "grpc").Exists() {
		f.Fix += "; name its port in K1.ready, a gRPC port answers no HTTP"
	}
	f.Edits = asking(w, one, c)
	return f
}

// asking has readiness ask the endpoint that was given, path and port; nothing if none was given, or if it is that of liveness.
func asking(w *lint.World, one *lint.Workload, c lint.Container) []manifest.Edit {
	probe, live := c.Get("readinessProbe"), c.Get("livenessProbe", "httpGet")
	path, port, _ := strings.Cut(w.Given(one.Object, ask.Key), ":")
	http, tcp := probe.Get("httpGet"), probe.Get("tcpSocket")
	switch {
	case port != "":
	case http.Exists():
		port = http.Get("port").String()
	case tcp.Exists():
		port = tcp.Get("port").String()
	case probe.Get("exec").Exists():
		_, port, _ = endpoint(w, one, c)
	}
	if path == "" || port == "" || path == live.Get("path").String() && c.Port(port) == c.Port(live.Get("port").String()) {
		return nil
	}
	if !http.Exists() {
		_, handler := lint.HandlerOf(probe)
		return []manifest.Edit{handler.Replace("httpGet", fmt.Sprintf("path: %s\nport: %s\n", path, port))}
	}
	var edits []manifest.Edit
	if at := http.Get("path"); at.String() != path {
		edits = append(edits, at.SetString(path))
	}
	if at := http.Get("port"); c.Port(at.String()) != c.Port(port) {
		edits = append(edits, at.Set(port))
	}
	return edits
}

func slow(w *lint.World, one *lint.Workload, c lint.Container) (lint.Finding, bool) {
	probe, drain := c.Get("readinessProbe"), w.BudgetOf(one, c).Drain
	period, threshold := max(1, probe.Get("periodSeconds").Int(10)), max(1, probe.Get("failureThreshold").Int(3))
	seconds := int(drain / time.Second)
	if period*threshold <= seconds || seconds < 1 {
		return lint.Finding{}, false
	}
	p := min(period, 2, seconds)
	t := min(threshold, max(1, seconds/p))
	return lint.Finding{
		Severity: lint.Warning,
		What: fmt.Sprintf("it takes %d s to see that the pod is not ready (periodSeconds %d x failureThreshold %d), and the drain lasts %s",
			period*threshold, period, threshold, lint.Short(drain)),
		Fix: fmt.Sprintf("periodSeconds: %d, failureThreshold: %d", p, t),
		Edits: []manifest.Edit{
			probe.Get("periodSeconds").Set(fmt.Sprint(p)),
			probe.Get("failureThreshold").Set(fmt.Sprint(t)),
		},
	}, true
}
