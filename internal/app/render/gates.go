package render

import (
	"fmt"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"gapless.dev/gapless/internal/gate/spec"
)

// gates are written as the Rollout has them, with their defaults. The command of a job is for one machine only.
func gates(all []spec.Gate) *yaml.Node {
	out := list()
	for _, g := range all {
		var at []string
		for _, m := range g.At {
			at = append(at, string(m))
		}
		n := object("name", g.Name, "at", at, "deadline", whole(*g.Deadline))
		if g.Hold {
			n = with(n, "inconclusive", "pause")
		}
		if g.DryRun {
			n = with(n, "dryRun", true)
		}
		out.Content = append(out.Content, with(n, g.Kind(), kind(g)))
	}
	return out
}

func kind(g spec.Gate) *yaml.Node {
	switch {
	case g.Probe != nil:
		p := g.Probe
		n := object("path", p.Path, "rate", int(p.Rate), "timeout", short(p.Timeout), "slow", above(p.Slow), "tolerance", decimal(100*p.Tolerance), "header", some(sorted(p.Header)))
		if p.Post > 0 {
			n = with(n, "post", int(100*p.Post+0.5))
		}
		return n
	case g.Prometheus != nil:
		p := g.Prometheus
		n := object("url", p.URL, "every", short(p.Every), "timeout", short(p.Timeout), "token", p.Token)
		if p.Compares() {
			return with(n, "bad", p.Bad, "total", p.Total, "tolerance", decimal(100*p.Tolerance), "warmup", above(p.Warmup))
		}
		return with(n, "query", p.Query, "min", bound(p.Min), "max", bound(p.Max), "over", above(p.Over), "failures", p.Failures)
	case g.Webhook != nil:
		w := g.Webhook
		return object("url", w.URL, "timeout", short(w.Timeout), "retries", max(0, w.Retries), "every", short(w.Every), "key", w.Key, "header", some(sorted(w.Header)))
	case g.Job != nil:
		return object("from", g.Job.From, "timeout", short(g.Job.Timeout))
	}
	return window(*g.Window)
}

func window(w spec.Window) *yaml.Node {
	allow, freeze := list(), list()
	for _, h := range w.Allow {
		var days []string
		for _, d := range h.Days {
			days = append(days, d.String()[:3])
		}
		n := object("days", days)
		if h.From != h.To {
			n = with(n, "from", clock(h.From), "to", clock(h.To))
		}
		allow.Content = append(allow.Content, flow(n))
	}
	for _, f := range w.Freeze {
		freeze.Content = append(freeze.Content, flow(object("from", f.From, "to", f.To, "why", f.Why)))
	}
	return object("zone", w.Zone, "allow", allow, "freeze", freeze)
}

func clock(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

// whole is a duration that is written also where it is 0.
func whole(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	return short(d)
}

// above is a duration that is left out where it is 0.
func above(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return short(d)
}

func bound(n *float64) *yaml.Node {
	if n == nil {
		return nil
	}
	return decimal(*n)
}

// decimal is a number without the noise of its last digits.
func decimal(n float64) *yaml.Node {
	text := strconv.FormatFloat(n, 'f', -1, 64)
	if rounded := strconv.FormatFloat(n, 'g', 10, 64); len(rounded) < len(text) {
		text = rounded
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: text}
}

func notifications(all []spec.Notify) *yaml.Node {
	out := list()
	for _, n := range all {
		out.Content = append(out.Content, object("url", n.URL, "urlKey", n.URLKey, "template", n.Template, "on", n.On, "key", n.Key, "header", some(sorted(n.Header)), "timeout", above(n.Timeout)))
	}
	return out
}
