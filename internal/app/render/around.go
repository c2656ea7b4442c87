package render

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"gapless.dev/gapless/internal/rollout"
)

// config is named after what it holds: a change is a new template, so that it is rolled, and an undo finds the old one.
func (r renderer) config() *yaml.Node {
	if len(r.a.Config) == 0 {
		return nil
	}
	data := object()
	for _, f := range r.a.Config {
		text := word(f.Text)
		if strings.Contains(f.Text, "\n") {
			text.Style = yaml.LiteralStyle
		}
		data.Content = append(data.Content, word(f.Name), text)
	}
	return with(r.head("v1", "ConfigMap", r.configName()), "immutable", true, "data", data)
}

func (r renderer) configName() string {
	sum := sha256.New()
	for _, f := range r.a.Config {
		sum.Write([]byte(f.Name + "\x00" + f.Text + "\x00"))
	}
	return r.a.Name + "-config-" + hex.EncodeToString(sum.Sum(nil))[:8]
}

func (r renderer) configPath() string { return "/etc/" + r.a.Name }

func (r renderer) service() *yaml.Node {
	if len(r.public()) == 0 {
		return nil
	}
	ports := list()
	for _, p := range r.public() {
		ports.Content = append(ports.Content, flow(object("name", p.Name, "port", p.Public, "targetPort", p.Name)))
	}
	return with(r.head("v1", "Service", r.a.Name), "spec", object("selector", r.selector(), "ports", ports))
}

// budget lets nodes be drained, one pod at a time. With one replica it could only forbid that.
func (r renderer) budget() *yaml.Node {
	if r.a.Replicas < 2 {
		return nil
	}
	return with(r.head("policy/v1", "PodDisruptionBudget", r.a.Name), "spec", object(
		"maxUnavailable", 1,
		"unhealthyPodEvictionPolicy", because("AlwaysAllow", "a pod that is not ready does not hold up a drain"),
		"selector", object("matchLabels", r.selector()),
	))
}

func (r renderer) scaler() *yaml.Node {
	s := r.a.Autoscale
	if s.Max == 0 {
		return nil
	}
	return with(r.head("autoscaling/v2", "HorizontalPodAutoscaler", r.a.Name), "spec", object(
		"scaleTargetRef", object("apiVersion", "apps/v1", "kind", "Deployment", "name", r.a.Name),
		"minReplicas", s.Min, "maxReplicas", s.Max,
		"metrics", list(object("type", "Resource", "resource", object("name", "cpu", "target", flow(object("type", "Utilization", "averageUtilization", s.CPU))))),
	))
}

// rollout says how the Deployment is rolled.
func (r renderer) rollout() *yaml.Node {
	p := r.a.Plan
	return with(r.head("gapless.dev/v1alpha1", "Rollout", r.a.Name), "spec", object(
		"strategy", strategy(p),
		"traffic", r.traffic(),
		"follow", r.follow(),
		"drain", short(r.a.Stop.Drain),
		"gates", gates(r.a.Gates),
		"notify", notifications(r.a.Notify),
		"deadline", short(p.Deadline),
	))
}

// follow: the image is said here, since the Deployment's own will be pinned by a digest.
func (r renderer) follow() *yaml.Node {
	f := r.a.Follow
	if f == nil {
		return nil
	}
	image := ""
	if strings.Contains(r.a.Image.Name, "{version}") {
		image = r.a.Image.Name
	}
	keys := list()
	for _, k := range f.Keys {
		keys.Content = append(keys.Content, word(k))
	}
	var insecure any
	if f.Insecure {
		insecure = true
	}
	return object(
		"repository", f.Repository, "tags", f.Rule.Tags, "versions", f.Rule.Versions, "every", short(f.Every),
		"image", image, "keys", keys, "secretName", f.Secret, "insecure", insecure,
	)
}

func strategy(p rollout.Plan) *yaml.Node {
	switch p.Strategy {
	case rollout.Recreate:
		return object("recreate", keep())
	case rollout.BlueGreen:
		when := "auto"
		if p.Manual {
			when = "manual"
		}
		return object("blueGreen", object("switch", when, "holdBack", short(p.HoldBack)))
	case rollout.Canary:
		steps := list()
		for _, s := range p.Steps {
			steps.Content = append(steps.Content, flow(step(s)))
		}
		return object("canary", object("steps", steps))
	}
	return object("rolling", keep())
}

func step(s rollout.Step) *yaml.Node {
	n := object("weight", s.Weight)
	if s.Match != nil {
		n = with(n, "match", flow(object("header", flow(some(sorted(s.Match.Header))), "cookie", flow(some(sorted(s.Match.Cookie))))))
	}
	if s.Mirror > 0 {
		n = with(n, "mirror", s.Mirror)
	}
	switch {
	case s.Manual:
		n = with(n, "pause", "manual")
	case s.Pause > 0:
		n = with(n, "pause", short(s.Pause))
	}
	return n
}

// short is a duration without its zero parts.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
